"""Reads rows (image path, genre names) from a CSV manifest or one folder per genre.

A row is what a person gave: a line of the manifest, or a file in a genre folder. Rows are only
listed here; images are opened later. Files and folders whose name starts with a dot are not rows.
"""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from components.errors import ConfigError, DataError
from components.label_schema import GENRE_SEPARATOR

MANIFEST_FILE_NAME = "labels.csv"
IMAGE_COLUMN = "image"
GENRES_COLUMN = "genres"


@dataclasses.dataclass(frozen=True)
class Row:
    """One row as given.

    Attributes:
        source: name of the manifest or of the data directory.
        line: 1-based line in the manifest; None for a file in a folder.
        path: image path relative to the data directory.
        genres: genre names as given, not yet matched with the schema.
        problem: what is wrong with the row itself, or None.
    """

    source: str
    line: int | None
    path: str
    genres: tuple[str, ...]
    problem: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the rows come from.

    Attributes:
        directory: what image paths are relative to.
        manifest: the CSV file, or None for one folder per genre.
    """

    directory: Path
    manifest: Path | None

    @property
    def name(self) -> str:
        """The manifest's or data directory's own name."""
        return (self.manifest or self.directory).name

    def rows(self) -> list[Row]:
        """Lists the rows in a stable order: by line, or by path.

        Raises:
            DataError: the manifest cannot be read as a CSV with an image and a genres column, or
                there is not a single row.
        """
        found = list(self._manifest_rows() if self.manifest else self._folder_rows())
        if not found:
            raise DataError(
                f"Expected covers in {self.manifest or self.directory}. Received: no row. "
                f"{_EXPECTED_LAYOUT}"
            )
        return found

    def _folder_rows(self) -> Iterator[Row]:
        for folder, subfolders, files in os.walk(self.directory):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(files):
                if name.startswith("."):
                    continue
                path = (Path(folder) / name).relative_to(self.directory)
                genres = path.parts[:1] if len(path.parts) > 1 else ()
                yield Row(self.name, None, path.as_posix(), genres)

    def _manifest_rows(self) -> Iterator[Row]:
        assert self.manifest is not None
        try:
            with self.manifest.open(encoding="utf-8-sig", newline="") as file:
                yield from _parse_manifest(file, self.manifest)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"Expected {self.manifest} to be a CSV file in UTF-8. Received: {error}. "
                "Save it as UTF-8 CSV."
            ) from error


_EXPECTED_LAYOUT = (
    f"Give a CSV file with the columns '{IMAGE_COLUMN},{GENRES_COLUMN}' (genres separated by "
    f"'{GENRE_SEPARATOR}'), or a folder that holds one folder per genre."
)


def find_source(data: Path | str) -> Source:
    """Decides by what is found: a CSV file, a folder with one, or one folder per genre.

    Raises:
        ConfigError: `data` does not exist, or holds several CSV files and no labels.csv.
    """
    data = Path(data)
    if data.is_file():
        return Source(directory=data.parent, manifest=data)
    if not data.is_dir():
        raise ConfigError(
            f"Expected a file or folder at {data}. Received: nothing there. {_EXPECTED_LAYOUT}"
        )
    if (data / MANIFEST_FILE_NAME).is_file():
        return Source(directory=data, manifest=data / MANIFEST_FILE_NAME)
    manifests = sorted(data.glob("*.csv"))
    if len(manifests) > 1:
        raise ConfigError(
            f"Expected one CSV file in {data}, or one named {MANIFEST_FILE_NAME}. Received: "
            f"{', '.join(path.name for path in manifests)}. Name the file to use."
        )
    return Source(directory=data, manifest=manifests[0] if manifests else None)


def _parse_manifest(file: Iterator[str], manifest: Path) -> Iterator[Row]:
    reader = csv.reader(file, strict=True)
    header = [name.strip().casefold() for name in next(reader, [])]
    for column in (IMAGE_COLUMN, GENRES_COLUMN):
        if header.count(column) != 1:
            raise DataError(
                f"Expected the first line of {manifest} to name the columns '{IMAGE_COLUMN}' and "
                f"'{GENRES_COLUMN}' once each. Received: {header}. {_EXPECTED_LAYOUT}"
            )
    image_at, genres_at = header.index(IMAGE_COLUMN), header.index(GENRES_COLUMN)
    line = reader.line_num + 1
    for values in reader:
        if not values:
            line = reader.line_num + 1
            continue
        if len(values) == len(header):
            genres = tuple(n for n in map(str.strip, values[genres_at].split(GENRE_SEPARATOR)) if n)
            yield Row(manifest.name, line, values[image_at].strip(), genres)
        else:
            problem = f"Expected {len(header)} values, as in the header. Received: {len(values)}."
            path = values[image_at] if image_at < len(values) else ""
            yield Row(manifest.name, line, path, (), problem)
        line = reader.line_num + 1
