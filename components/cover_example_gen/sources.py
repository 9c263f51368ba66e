"""Lists rows (image path, genre names) of a manifest or of one folder per genre.

A row is one item of the input: a line of the manifest, or a file in a genre folder. Rows are only
listed here; images are opened later. Files and folders whose name starts with a dot are not rows.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

from components.contracts.quarantine import QuarantinedRow, Reason
from components.cover_example_gen.manifests.kinds import (
    LABELS,
    expected_manifests,
    kind_of,
    manifests_in,
    suffixes,
)
from components.support.errors import ConfigError, DataError

_IMAGE_SUFFIX = re.compile(
    r"\.(jpe?g|jpe|jfif|png|gif|webp|bmp|tiff?|svg|eps|heic|avif)", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One row as given.

    Attributes:
        source: name of the manifest or of the data directory.
        line: 1-based line in the manifest; None for a file in a folder.
        path: image path relative to the source's directory.
        genres: genre names as given, not yet matched to the schema.
        problem: what is wrong with the row itself, or None.
        listed: whether the genres were given one by one, as in a list: none of them is split.
        split: the split that the data give it (train, eval, test), or None.
        values: name -> value of the columns that the evaluation slices by.
    """

    source: str
    line: int | None
    path: str
    genres: tuple[str, ...]
    problem: str | None = None
    listed: bool = False
    split: str | None = None
    values: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the rows come from.

    Attributes:
        directory: what image paths are relative to.
        manifest: the file that lists them, or None for one folder per genre.
        folder: the directory's name below the data directory, for one span of several; or empty.
    """

    directory: Path
    manifest: Path | None
    folder: str = ""

    @property
    def name(self) -> str:
        """The manifest's or directory's own name, below the span's folder if there is one."""
        if self.folder:
            return f"{self.folder}/{self.manifest.name}" if self.manifest else self.folder
        return (self.manifest or self.directory).name

    def rows(self) -> list[Row]:
        """Lists the rows in a stable order: by line, or by path.

        Raises:
            DataError: the manifest cannot be read as what its name says, or there are no rows.
        """
        found = list(self._manifest_rows() if self.manifest else self._folder_rows())
        if not found:
            raise DataError(
                f"Expected covers in {self.manifest or self.directory}. Received: no rows. "
                f"{_expected_layout()}"
            )
        return found

    def unlisted_files(self, rows: list[Row]) -> list[QuarantinedRow]:
        """Lists image files that no row names, in the folders that rows of the manifest name."""
        if not self.manifest:
            return []
        listed = {os.path.normpath(row.path) for row in rows if row.path}
        folders = {Path(path).parent for path in listed if not path.startswith(("/", ".."))}
        detail = "Expected a row in the manifest. Received: a file that no row names."
        return [
            QuarantinedRow(self.name, None, path, Reason.UNLISTED_FILE.value, detail)
            for folder in sorted(folders)
            for path in self._image_files(folder)
            if path not in listed
        ]

    def _image_files(self, folder: Path) -> list[str]:
        try:
            with os.scandir(self.directory / folder) as entries:
                names = [entry.name for entry in entries if entry.is_file()]
        except (OSError, ValueError):
            return []
        return sorted(str(folder / name) for name in names if _is_image_name(name))

    def _manifest_rows(self) -> Iterator[Row]:
        assert self.manifest is not None
        for row in kind_of(self.manifest).read(self.manifest):
            yield Row(self.name, row.line, row.path, row.genres, row.problem)

    def _folder_rows(self) -> Iterator[Row]:
        """Yields files and what may hide some: unreadable or linked folders, folders like x.jpg."""
        unreadable: list[Path] = []
        for name, subfolders, files in os.walk(
            self.directory, onerror=lambda error: unreadable.append(Path(error.filename))
        ):
            folder = Path(name)
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            odd = [
                name for name in subfolders if _is_image_name(name) or (folder / name).is_symlink()
            ]
            for name in sorted([*files, *odd]):
                if not name.startswith("."):
                    yield self._folder_row(folder / name)
        for path in sorted(unreadable):
            yield self._folder_row(path)

    def _folder_row(self, file: Path) -> Row:
        path = file.relative_to(self.directory)
        genres = path.parts[:1] if len(path.parts) > 1 else ()
        return Row(self.name, None, path.as_posix(), genres)


def find_source(data: Path | str, folder: str = "") -> Source:
    """Chooses by what is found: a manifest, a folder with one, or one folder per genre.

    Args:
        data: a manifest or a folder.
        folder: the folder's name below the data directory, for one span of several.

    Raises:
        ConfigError: `data` does not exist, or holds several manifests, none named `labels`.
    """
    data = Path(data)
    if data.is_file():
        return Source(data.parent, data, folder)
    if not data.is_dir():
        raise ConfigError(
            f"Expected a file or folder at {data}. Received: nothing there. {_expected_layout()}"
        )
    manifests = manifests_in(data)
    named = [path for path in manifests if path.stem == LABELS]
    if len(named or manifests) > 1:
        raise ConfigError(
            f"Expected one manifest in {data}, or one named "
            f"{' or '.join(LABELS + suffix for suffix in suffixes())}. Received: "
            f"{', '.join(path.name for path in manifests)}. Name the file to use."
        )
    return Source(data, next(iter(named or manifests), None), folder)


def _expected_layout() -> str:
    return (
        f"Give {expected_manifests()}, or a folder that holds one folder per genre, or a folder "
        "of such sources named span-1, span-2, ..."
    )


def _is_image_name(name: str) -> bool:
    return _IMAGE_SUFFIX.fullmatch(Path(name).suffix) is not None
