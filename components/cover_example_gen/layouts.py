"""Finds out how data are laid out: which files and folders hold rows, and of which split.

A folder is, in this order: one with a manifest; one with several manifests of one name and numbers,
or named like splits (`train.csv`, `test-00000-of-00002.parquet`); one with folders named like
splits; one with a folder per genre.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from components.contracts.label_schema import TRAIN_SPLIT
from components.cover_example_gen.cells import SPLIT_NAMES, is_split_name
from components.cover_example_gen.clutter import clutter_folder
from components.cover_example_gen.image_names import has_image_suffix
from components.cover_example_gen.manifests.kinds import (
    NAMED_FIRST,
    expected_manifests,
    manifests_in,
    suffixes,
)
from components.support.errors import ConfigError
from components.support.texts import first_few

# Such as `train-00000-of-00002`, `part-00003` or `test`.
_NUMBERED = re.compile(r"(?P<name>.+?)(?:[-_.]?\d+(?:-of-\d+)?(?:-[0-9a-f-]+)?)?")
_SHARD = re.compile(r".+[-_.]?\d+(?:-of-\d+)?(?:-[0-9a-f-]+)?")
_PARQUET_FOLDER = "data"
_ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"PK\x05\x06": "an empty ZIP archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x1f\x8b": "a file compressed with gzip",
    b"BZh": "a file compressed with bzip2",
    b"\xfd7zXZ\0": "a file compressed with xz",
    b"\x28\xb5\x2f\xfd": "a file compressed with Zstandard",
}


@dataclasses.dataclass(frozen=True)
class Part:
    """A manifest, or a folder that holds one folder per genre.

    Attributes:
        folder: the folder that it is in, or that it is, relative to the data directory; or empty.
        manifest: the manifest, or None.
        split: the split of its rows, or None if its name does not say.
    """

    folder: str = ""
    manifest: Path | None = None
    split: str | None = None

    @property
    def name(self) -> str:
        """Its path relative to the data directory."""
        if self.manifest is None:
            return self.folder
        return f"{self.folder}/{self.manifest.name}" if self.folder else self.manifest.name


def find_parts(data: Path) -> tuple[Path, tuple[Part, ...]]:
    """Returns the data directory and what holds the rows.

    Raises:
        ConfigError: there is nothing at `data`, or several manifests of which none is to be taken.
    """
    if data.is_file():
        _check_readable(data)
        return data.parent, (Part(manifest=data),)
    if not data.is_dir():
        raise ConfigError(
            f"Expected a file or folder at {data}. Received: nothing there. {expected_layout()}"
        )
    manifests = _manifest_parts(data)
    if manifests:
        return data, manifests
    folders = _folders(data)
    if folders == [_PARQUET_FOLDER] and manifests_in(data / _PARQUET_FOLDER):
        return find_parts(data / _PARQUET_FOLDER)
    splits = {SPLIT_NAMES[name.casefold()] for name in folders if is_split_name(name)}
    if all(map(is_split_name, folders)) and TRAIN_SPLIT in splits and len(splits) > 1:
        return data, tuple(part for name in folders for part in _split_parts(data, name))
    return data, (Part(),)


def _check_readable(file: Path) -> None:
    """Raises on files that cannot be a manifest, whatever they hold.

    Raises:
        ConfigError: the file is an archive or an image.
    """
    with file.open("rb") as opened:
        first = opened.read(max(map(len, _ARCHIVES)))
    archive = next((kind for magic, kind in _ARCHIVES.items() if first.startswith(magic)), None)
    if archive or file.suffix.casefold() == ".tar":
        raise ConfigError(
            f"Expected a manifest or a folder at {file}. Received: {archive or 'a tar archive'}. "
            "Unpack it, and give the folder."
        )
    if has_image_suffix(file.name):
        raise ConfigError(
            f"Expected a manifest or a folder at {file}. Received: an image. {expected_layout()}"
        )


def expected_layout() -> str:
    """Returns what data may be, for messages."""
    return (
        f"Give {expected_manifests()}, or a folder that holds one folder per genre, or a folder "
        "of such sources named span-1, span-2, ..."
    )


def _split_parts(data: Path, name: str) -> tuple[Part, ...]:
    split = SPLIT_NAMES[name.casefold()]
    found = _manifest_parts(data / name) or (Part(),)
    return tuple(dataclasses.replace(part, folder=name, split=split) for part in found)


def _manifest_parts(folder: Path) -> tuple[Part, ...]:
    """Returns the manifests of a folder to take.

    Raises:
        ConfigError: it is not clear which.
    """
    manifests = manifests_in(folder)
    for name in NAMED_FIRST:
        named = [path for path in manifests if path.stem.casefold() == name]
        if named:
            manifests = named
            break
    if len(manifests) < 2:
        return tuple(Part(manifest=path) for path in manifests)
    if len({path.suffix.casefold() for path in manifests}) == 1:
        names = [_NUMBERED.fullmatch(path.stem)["name"].casefold() for path in manifests]  # type: ignore[index]
        if all(map(is_split_name, names)) and len(set(names)) > 1:
            return tuple(
                Part(manifest=path, split=SPLIT_NAMES[name])
                for path, name in zip(manifests, names, strict=True)
            )
        if len(set(names)) == 1 and all(_SHARD.fullmatch(path.stem) for path in manifests):
            return tuple(Part(manifest=path) for path in manifests)
    raise ConfigError(_several(folder, manifests))


def _several(folder: Path, manifests: Sequence[Path]) -> str:
    expected = " or ".join(NAMED_FIRST[0] + suffix for suffix in suffixes())
    received = first_few([path.name for path in manifests])
    return (
        f"Expected one manifest in {folder}, or one named {expected}. Received: {received}. "
        "Name the file to use."
    )


def _folders(data: Path) -> list[str]:
    with os.scandir(data) as entries:
        return sorted(entry.name for entry in entries if _is_plain_folder(entry))


def _is_plain_folder(entry: os.DirEntry[str]) -> bool:
    is_hidden = entry.name.startswith(".") or clutter_folder(entry.name)
    return not is_hidden and entry.is_dir(follow_symlinks=False)
