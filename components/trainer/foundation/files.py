"""The files of a model that a backbone is read from: where they are, and what is in them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
from pathlib import Path

from components.support.errors import ConfigError
from components.support.file_systems import (
    fingerprint_file,
    fingerprint_objects,
    is_url,
    local_copy,
)
from components.trainer.foundation.config import FoundationModel

_copies = contextlib.ExitStack()
atexit.register(_copies.close)


def local_path(config: FoundationModel) -> Path:
    """Returns where a model lies on this machine; one in an object store is fetched once.

    Raises:
        ConfigError: there is nothing, or no installed package can open the URL.
        DeploymentError: the object store refused or failed.
    """
    location = config.location
    path = _copy(location, fingerprint(location)) if is_url(location) else Path(location).absolute()
    if not path.exists():
        raise ConfigError(
            f"Expected backbone.{config.kind} to be a path or URL. Received: {location}, "
            "and there is nothing."
        )
    return path


def fingerprint(location: str) -> str:
    """Returns a hash of the content of a file, of a folder or of what is at a URL.

    That of a URL follows from the store's checksums. It is empty if there is no such path.

    Raises:
        ConfigError: there is nothing at the URL.
        DeploymentError: the object store refused or failed.
    """
    if is_url(location):
        return fingerprint_objects(location)
    path = Path(location)
    if path.is_file():
        return fingerprint_file(path)
    digest = hashlib.sha256()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()}\0{fingerprint_file(file)}\n".encode())
    return digest.hexdigest() if files else ""


@functools.cache
def _copy(url: str, content: str) -> Path:
    """Fetches what is at a URL, for as long as the process lives; other content anew."""
    return _copies.enter_context(local_copy(url))
