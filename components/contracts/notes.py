"""Small JSON files at a push destination, beside or inside the pushed versions.

They are in folders whose names are no number, or in `assets.extra` of a version, which TensorFlow
Serving passes over.
"""

from __future__ import annotations

import json
import posixpath
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from components.contracts.records import UNREADABLE
from components.support.durable import sync_folder
from components.support.errors import DeploymentError
from components.support.file_systems import is_url, open_file_system, store_errors
from components.support.texts import shortened

T = TypeVar("T")

_VERSION = "format_version"
_SUFFIX = ".json"
_LARGEST_NOTE = 1 << 20


def read_note(
    location: str, version: int, expected: str, from_dict: Callable[[Mapping[str, Any]], T]
) -> T | None:
    """Reads what `write_note` wrote, or a record of the same form.

    Args:
        location: path or URL of the file.
        version: the only format version that is understood.
        expected: what the file holds, for messages, such as "a pin".
        from_dict: makes the note of its fields.

    Returns:
        The note; None if there is no such file.

    Raises:
        DeploymentError: the file cannot be read, or is of another version.
    """
    content = read_bytes(location, _LARGEST_NOTE)
    if content is None:
        return None
    try:
        fields = json.loads(content.decode("utf-8"))
        if fields[_VERSION] != version:
            raise ValueError(f"format version {fields[_VERSION]}")
        return from_dict(fields)
    except UNREADABLE as error:
        received = shortened(f"{type(error).__name__}: {error}")
        raise DeploymentError(
            f"Expected {expected}, version {version}, at {location}. Received: {received}. "
            "Restore the file, or delete it."
        ) from error


def read_bytes(location: str, most: int) -> bytes | None:
    """Returns the content of a file, or None if there is none.

    Args:
        location: path or URL.
        most: how many bytes are read at most.

    Raises:
        DeploymentError: the store refused or failed.
    """
    file_system, path = open_file_system(location)
    with store_errors(location):
        try:
            with file_system.open(path, "rb") as file:
                return bytes(file.read(most))
        except (FileNotFoundError, NotADirectoryError):
            return None


def write_note(location: str, version: int, fields: Mapping[str, Any]) -> None:
    """Writes a note in one step, making its folder as needed.

    Raises:
        DeploymentError: the destination cannot be written.
    """
    write_text(location, json.dumps({_VERSION: version, **fields}, indent=1) + "\n")


def write_text(location: str, text: str) -> None:
    """Writes a small file in one step, making its folder as needed.

    Raises:
        DeploymentError: the destination cannot be written.
    """
    with store_errors(location):
        if is_url(location):
            file_system, path = open_file_system(location)
            file_system.pipe_file(path, text.encode())
            return
        target = Path(location)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(target.parent)


def note_numbers(folder: str) -> list[int]:
    """Returns for which versions there is a note in a folder, newest first.

    Raises:
        DeploymentError: the folder cannot be read.
    """
    file_system, path = open_file_system(folder)
    with store_errors(folder):
        file_system.invalidate_cache()
        try:
            entries = file_system.ls(path, detail=False)
        except FileNotFoundError:
            return []
    names = (posixpath.basename(entry) for entry in entries)
    stems = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
    return sorted(
        (int(stem) for stem in stems if stem.isascii() and stem.isdecimal()), reverse=True
    )


def note_location(folder: str, number: int) -> str:
    """Returns where the note on a version is, in a folder of notes."""
    return f"{folder}/{number}{_SUFFIX}"


def remove_note(location: str) -> None:
    """Removes a note, if there is one.

    Raises:
        DeploymentError: the store refused or failed.
    """
    file_system, path = open_file_system(location)
    with store_errors(location):
        try:
            file_system.rm_file(path)
        except FileNotFoundError:
            return
