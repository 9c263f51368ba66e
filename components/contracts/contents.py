"""The contents of a folder: its files with their sizes and hashes, to notice damage."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.support.file_systems import fingerprint_file
from components.support.texts import first_few

_AT_ONCE = 4
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class FileContent:
    """The size in bytes of a file, and the sha256 of its content, hex."""

    bytes: int
    sha256: str


Contents = Mapping[str, FileContent]
"""Path relative to the folder, with `/` -> content."""


def contents_of(folder: Path) -> Contents:
    """Returns the contents of a folder.

    Raises:
        OSError: a file cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        contents = pool.map(_content, named.values())
        return dict(zip(named, contents, strict=True))


def contents_to_json(contents: Contents) -> str:
    """Returns the contents as JSON."""
    return json.dumps({name: dataclasses.astuple(content) for name, content in contents.items()})


def contents_from_json(text: str) -> Contents:
    """Reads what `contents_to_json` wrote.

    Raises:
        ValueError: the text is not that.
    """
    try:
        return {
            name: FileContent(int(size), str(sha256))
            for name, (size, sha256) in json.loads(text).items()
        }
    except (TypeError, AttributeError) as error:
        raise ValueError(f"Expected files with sizes and hashes. Received: {error}.") from error


def damage_of(folder: Path, expected: Contents) -> str:
    """Says which expected files are missing or changed, or which are new; empty if none are."""
    try:
        found = contents_of(folder)
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"
    names = sorted({*expected, *found})
    changes = (_change(name, expected.get(name), found.get(name)) for name in names)
    return first_few([change for change in changes if change], _NAMED)


def _change(name: str, expected: FileContent | None, found: FileContent | None) -> str:
    if found is None:
        return f"{name} is missing"
    if expected is None:
        return f"{name} was not there before"
    if found.bytes != expected.bytes:
        return f"{name} has {found.bytes:,} bytes instead of {expected.bytes:,}"
    return "" if found == expected else f"{name} has other bytes"


def _content(file: Path) -> FileContent:
    return FileContent(file.stat().st_size, fingerprint_file(file))
