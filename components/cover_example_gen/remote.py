"""Covers in an object store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from components.cover_example_gen.manifests.kinds import is_manifest
from components.support.file_systems import fingerprint_objects, is_url, local_copy


@contextlib.contextmanager
def local_data(data: str) -> Iterator[Path]:
    """Gives data as a local path: itself, or a copy that lives in the block.

    Raises:
        ConfigError: there is nothing at the URL, or no installed package can open it.
        DeploymentError: the object store refused or failed.
    """
    if not is_url(data):
        yield Path(data)
        return
    folder, manifest = _split(data)
    with local_copy(folder) as copy:
        yield copy / manifest


def fingerprint_remote(url: str) -> str:
    """Returns a hash of the objects that ingest of a URL reads; see `fingerprint_objects`."""
    return fingerprint_objects(_split(url)[0])


def _split(url: str) -> tuple[str, str]:
    """Returns the folder to copy and what to read in it: images are beside their manifest."""
    folder, _, name = url.rstrip("/").rpartition("/")
    return (folder, name) if is_manifest(name) else (url, "")
