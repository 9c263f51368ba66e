"""The commands that the pages of docs/ show, as a shell would read them."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
MANIFESTS = DOCS / "kubernetes"
COPY = "deploy"  # what the pages call the reader's copy of MANIFESTS

_BLOCK = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
_PROGRAMS = ("covers", "kubectl", "make")


def documented_commands(page: str) -> Iterator[list[str]]:
    """Yields the words of each command of covers, kubectl or make in a page's indented blocks."""
    for block in _BLOCK.findall(page):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # prose or output, with an apostrophe
                continue
            words = [word for word in words if word != "&"]
            if "--" in words[:-1]:  # what kubectl executes in a pod
                yield words[words.index("--") + 1 :]
            if words and words[0].rpartition("/")[2] in _PROGRAMS:
                yield [words[0].rpartition("/")[2], *words[1:]]


def commands_of(program: str) -> list[list[str]]:
    """Returns the arguments of each documented command of a program."""
    return [
        words[1:]
        for page in sorted(DOCS.glob("*.md"))
        for words in documented_commands(page.read_text(encoding="utf-8"))
        if words[0] == program
    ]


def created_by_hand() -> dict[tuple[str, str], set[str]]:
    """Returns what the documented `kubectl create` commands make: (kind, name) -> keys."""
    kinds = {
        ("secret", "generic"): "Secret",
        ("secret", "docker-registry"): "Secret",
        ("serviceaccount",): "ServiceAccount",
        ("namespace",): "Namespace",
    }
    made: dict[tuple[str, str], set[str]] = {}
    for words in commands_of("kubectl"):
        for kind, name in kinds.items():
            if words[0] == "create" and tuple(words[1 : 1 + len(kind)]) == kind:
                keys = {
                    match[1]
                    for word in words
                    if (match := re.match(r"--from-(?:literal|file)=([^=]+)=", word))
                }
                if "docker-registry" in kind:
                    keys = {".dockerconfigjson"}
                made.setdefault((name, words[1 + len(kind)]), set()).update(keys)
    return made


def applied_files() -> set[str]:
    """Returns the files of the reader's copy that documented kubectl commands apply."""
    return {
        word.removeprefix(f"{COPY}/")
        for words in commands_of("kubectl")
        for option, word in itertools.pairwise(words)
        if option in ("-f", "--filename", "--patch-file")
    }


def built_images() -> set[str]:
    """Returns the images that documented `make image` commands build."""
    return {
        word.removeprefix("IMAGE=")
        for words in commands_of("make")
        if words[0] == "image"
        for word in words
        if word.startswith("IMAGE=")
    }
