"""Where the launcher of Kubeflow Pipelines puts artifacts, and what they are called elsewhere.

An artifact has a URI in the object store; before a task the launcher copies its inputs to local
folders named after the URI, and after a successful task it copies the outputs back
(kubeflow/pipelines, backend/src/v2/component/launcher_v2.go, LocalPathForURI).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

ROOT_VARIABLE = "COVERS_STAGING_ROOT"
"""A root other than `/` for the staged folders: for tests, which must not write there."""

_FOLDERS = {"gs://": "gcs", "minio://": "minio", "s3://": "s3"}


def staged_path(uri: str) -> str:
    """Returns the local path of a URI; a path is its own."""
    for scheme, folder in _FOLDERS.items():
        if uri.startswith(scheme):
            return f"{os.environ.get(ROOT_VARIABLE, '').rstrip('/')}/{folder}/{uri[len(scheme) :]}"
    return uri


def local_path(artifact: Mapping[str, Any]) -> str:
    """Returns where the launcher staged a RuntimeArtifact, given as its JSON mapping."""
    return artifact.get("customPath") or staged_path(artifact.get("uri", ""))


class Names:
    """Turns the local paths of a task's artifacts back into URIs, wherever they are mentioned."""

    def __init__(self) -> None:
        self._uri_of: dict[str, str] = {}

    def add(self, path: str, uri: str) -> None:
        """Records that the artifact at `path` is known as `uri`."""
        if path and path != uri:
            self._uri_of[path] = uri

    def restore(self, text: str) -> str:
        """Returns the text with URIs in place of paths."""
        # Longest first: one artifact's path may be the beginning of another's.
        for path in sorted(self._uri_of, key=len, reverse=True):
            text = text.replace(path, self._uri_of[path])
        return text
