"""Texts that Kubernetes takes only in a certain form: names, labels, variables, images, folders.

The rules are those of Kubernetes (k8s.io/apimachinery, util/validation) and, for images, those of
the container runtimes (distribution/reference, regexp.go).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from components.support.credentials import without_credentials
from pipeline.kubeflow.names import Rule

_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_OBJECT = Rule("an object", longest=253)
_VOLUME = Rule("a volume", longest=63, dots=False)

_HOST_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"({_HOST_LABEL}(\.{_HOST_LABEL})*|\[[0-9A-Fa-f:]+\])(:\d+)?"
_FOLDER = r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
_TAG = r"\w[\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_IMAGE = rf"({_HOST}/)?{_FOLDER}(/{_FOLDER})*(:{_TAG})?(@{_DIGEST})?"


def folder(path: str) -> str:
    """Returns the path in the one form in which two of them can be compared."""
    return "/" + posixpath.normpath(path).strip("/")


def _is_label_key(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    return bool(re.fullmatch(_WORD, name)) and (_OBJECT.allows(prefix) if slash else True)


def _is_environment_name(text: str) -> bool:
    return bool(re.fullmatch(r"[-._a-zA-Z][-._a-zA-Z0-9]*", text)) and not (
        text == "." or text.startswith("..")
    )


def _is_mount_path(text: str) -> bool:
    return text.startswith("/") and folder(text) != "/" and not re.search(r"[:\x00-\x1f]", text)


def _allowing(allows: Callable[[str], object], expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if not allows(text):
            raise ValueError(f"Expected {expected}")
        return text

    return AfterValidator(check)


ObjectName = Annotated[
    str,
    _allowing(
        _OBJECT.allows,
        "a name of Kubernetes: lower-case letters, digits, '-' and '.', beginning and ending with "
        "a letter or a digit, at most 253 characters",
    ),
]
VolumeName = Annotated[
    str,
    _allowing(
        _VOLUME.allows,
        "a name that a volume can have as well, as the back end names the volume after it: "
        "lower-case letters, digits and '-', beginning and ending with a letter or a digit, at "
        "most 63 characters",
    ),
]
DataKey = Annotated[
    str,
    _allowing(
        re.compile(r"(?!\.\.?\Z)(?!\.\.)[-._a-zA-Z0-9]{1,253}").fullmatch,
        "a key of a Secret or ConfigMap: letters, digits, '-', '_' and '.', at most 253 characters",
    ),
]
LabelKey = Annotated[
    str,
    _allowing(
        _is_label_key,
        "a key of Kubernetes, such as team or example.com/team: letters, digits, '-', '_' and '.', "
        "beginning and ending with a letter or a digit, at most 63 characters",
    ),
]
LabelValue = Annotated[
    str,
    _allowing(
        re.compile(rf"({_WORD})?").fullmatch,
        "a value that a label can have: letters, digits, '-', '_' and '.', beginning and ending "
        "with a letter or a digit, at most 63 characters",
    ),
]
AnnotationKey = Annotated[
    str,
    # Kubernetes compares the prefix of an annotation in lower case.
    _allowing(
        lambda text: _is_label_key(text.lower()),
        "a key of Kubernetes, such as example.com/note: letters, digits, '-', '_' and '.', "
        "beginning and ending with a letter or a digit, at most 63 characters",
    ),
]
ResourceName = Annotated[
    str,
    _allowing(
        lambda text: "/" in text and _is_label_key(text),
        "the name of a resource with its domain, such as nvidia.com/gpu",
    ),
]
EnvironmentName = Annotated[
    str,
    _allowing(
        _is_environment_name,
        "the name of an environment variable: letters, digits, '_', '-' and '.', not beginning "
        "with a digit",
    ),
]
_is_image = re.compile(_IMAGE, re.ASCII).fullmatch
_AN_IMAGE = "an image, such as registry.example.com/covers:0.1.0"
Image = Annotated[str, AfterValidator(without_credentials), _allowing(_is_image, _AN_IMAGE)]
ImageOrNone = Annotated[
    str,
    AfterValidator(without_credentials),
    _allowing(lambda text: not text or _is_image(text), _AN_IMAGE),
]
MountPath = Annotated[
    str, _allowing(_is_mount_path, "an absolute path of a folder, not / and without ':'")
]
