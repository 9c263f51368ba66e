"""Local folders and object stores behind one interface: fsspec's.

`s3://` needs the package s3fs, `gs://` gcsfs: both are in the extra `covers[object-store]`. They
take their credentials from the environment, as their own documentation says.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

from components.support.credentials import refuse_credentials
from components.support.errors import ConfigError, CoversError, DeploymentError
from components.support.machine import machine_error
from components.support.texts import shortened

_SEPARATOR = "://"
_OF_THIS_MACHINE = {"file", "local"}  # a path says the same
_CHUNK = 1 << 20
_CHECKSUMS = ("md5Hash", "crc32c", "ETag", "etag")  # what Google Cloud Storage and S3 call them


def is_url(location: str) -> bool:
    """Tells whether a location names its file system, such as `s3://bucket/folder`."""
    return _SEPARATOR in location


def check_lasting_folder(location: str) -> str:
    """Returns what is a path, or a URL of a kind that a package for object stores may open.

    Whether it is installed is not looked at: another machine may open the URL.

    Raises:
        ValueError: nothing opens such a URL.
    """
    schemes = location.partition(_SEPARATOR)[0].strip().split("::") if is_url(location) else ()
    known = set(fsspec.available_protocols()) - _OF_THIS_MACHINE
    if not known.issuperset(schemes):
        raise ValueError(
            "Expected a folder, or the URL of one in an object store, such as s3://bucket/folder. "
            f"Received: {location}"
        )
    return location


def open_file_system(location: str) -> tuple[Any, str]:
    """Returns the file system of a path or URL, an `fsspec.AbstractFileSystem`, and the path in it.

    Raises:
        ConfigError: no installed package can open the location, or it holds a secret.
    """
    refuse_credentials(location)
    try:
        file_system, path = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"Expected a path, or an s3:// or gs:// URL whose package is installed "
            f"(pip install 'covers[object-store]'). Received: {location} ({error})."
        ) from error
    return file_system, path.rstrip("/")


@contextlib.contextmanager
def local_copy(location: str) -> Iterator[Path]:
    """Gives a file or folder as a local path: itself, or a copy that lives in the block.

    Raises:
        ConfigError: there is nothing at the location, or no installed package can open it.
        DeploymentError: the object store refused or failed.
    """
    if not is_url(location):
        yield Path(location)
        return
    file_system, path = open_file_system(location)
    with tempfile.TemporaryDirectory(prefix="covers-") as folder:
        copy = Path(folder) / Path(path).name
        with store_errors(location):
            if file_system.isfile(path):
                file_system.get_file(path, str(copy))
            elif file_system.isdir(path):
                _download(file_system, path, copy)
            else:
                raise ConfigError(
                    f"Expected a file or folder at {location}. Received: nothing there."
                )
        try:
            yield copy
        except CoversError as error:
            # The user gave a URL and knows nothing about the copy.
            raise type(error)(str(error).replace(str(copy), location.rstrip("/"))) from error


def _download(file_system: Any, folder: str, copy: Path) -> None:
    """Downloads what is below a folder, without the empty objects that stand for folders."""
    names = [name for name in file_system.find(folder) if not name.endswith("/")]
    targets = [copy / name.removeprefix(folder).lstrip("/") for name in names]
    for parent in {copy, *(target.parent for target in targets)}:
        parent.mkdir(parents=True, exist_ok=True)
    file_system.get(names, [str(target) for target in targets])


@contextlib.contextmanager
def store_errors(location: str) -> Iterator[None]:
    """Turns what an object store raises into the project's error.

    Raises:
        DeploymentError: the store refused or failed; the message says where and how.
        MachineError: for a local folder, the disk or the permissions refused.
    """
    try:
        yield
    except CoversError:
        raise
    except Exception as error:  # each store's package has its own errors
        refused = None if is_url(location) else machine_error(error, Path(location))
        if refused:
            raise refused from error
        received = shortened(f"{type(error).__name__}: {error}".rstrip("."))
        raise DeploymentError(
            f"Expected access to {location}. Received: {received}. "
            "Check the address, the network and the credentials in the environment."
        ) from error


def fingerprint_file(path: Path | str) -> str:
    """Returns the sha256 of a local file's content, hex.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint_objects(url: str) -> str:
    """Returns a hash of the names, sizes and checksums of the objects at or below a URL.

    The checksums are the store's own, so nothing is downloaded.

    Raises:
        ConfigError: there is no object.
        DeploymentError: the object store refused or failed.
    """
    file_system, path = open_file_system(url)
    with store_errors(url):
        file_system.invalidate_cache()
        objects = file_system.find(path, detail=True)
    if not objects:
        raise ConfigError(f"Expected a file or folder at {url}. Received: nothing there.")
    digest = hashlib.sha256()
    for name, facts in sorted(objects.items()):
        checksum = next((facts[key] for key in _CHECKSUMS if facts.get(key)), "")
        digest.update(f"{name}\0{facts['size']}\0{checksum}\n".encode())
    return digest.hexdigest()
