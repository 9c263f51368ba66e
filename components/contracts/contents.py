"""The contents of a folder: its files with their sizes and hashes, to notice damage."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.support.file_systems import fingerprint_file

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


def missing_or_cut(expected: Contents, sizes: Mapping[str, int]) -> str:
    """Says which expected files are missing or have another size; empty if there are none."""
    return _joined(
        f"{name} is missing"
        if name not in sizes
        else f"{name} has {sizes[name]:,} bytes instead of {content.bytes:,}"
        for name, content in expected.items()
        if sizes.get(name) != content.bytes
    )


def damage_of(folder: Path, expected: Contents) -> str:
    """Says which expected files are missing or changed, or which are new; empty if none are."""
    try:
        found = contents_of(folder)
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"
    damage = missing_or_cut(expected, {name: content.bytes for name, content in found.items()})
    return damage or _joined(
        f"{name} was not there before" if name not in expected else f"{name} has other bytes"
        for name, content in found.items()
        if expected.get(name) != content
    )


def _content(file: Path) -> FileContent:
    return FileContent(file.stat().st_size, fingerprint_file(file))


def _joined(found: Iterable[str]) -> str:
    all_found = list(found)
    named = all_found[:_NAMED]
    if len(all_found) > _NAMED:
        named.append(f"{len(all_found) - _NAMED:,} more")
    return ", ".join(named)
