"""Reads a CSV manifest as found in practice: with any of three delimiters, in UTF-8 or UTF-16.

The delimiter is that of a first line `sep=;`, as Excel writes it, or whichever of `,` `;` and tab
makes the first line name the columns. A file whose first line names an image instead has no header:
each line is an image and its genres, after the split if there is one, as Vertex AI imports it
(https://cloud.google.com/vertex-ai/docs/image-data/classification/prepare-data). A line that cannot
be a row becomes a row with a problem; a file that cannot be a manifest is an error.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from components.contracts.genre_names import GENRE_SEPARATOR
from components.cover_example_gen.cells import is_split_name
from components.cover_example_gen.image_names import has_image_suffix
from components.cover_example_gen.manifests.kinds import ManifestKind, Recognise, Record, Table
from components.cover_example_gen.manifests.text_lines import TextLines, open_lines
from components.support.errors import DataError

HEADERLESS_COLUMNS = ("split", "image", "genres")

_DELIMITERS = (",", ";", "\t")
_FORM = "CSV"
_SEPARATOR_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
_BUCKET = re.compile(r"(?:gs|s3)://")


def open_manifest(manifest: Path, recognise: Recognise) -> Table:
    """Opens a CSV file.

    Raises:
        DataError: the file cannot be read as text.
    """
    with open_lines(manifest, _FORM) as lines:
        first = next(lines, "")
        separator = _SEPARATOR_LINE.fullmatch(first)
        skipped = 1 if separator else 0
        if separator:
            first = next(lines, "")
    delimiters = (separator[1],) if separator else _DELIMITERS
    headers = {delimiter: _cells(first, delimiter) for delimiter in delimiters}
    for delimiter, header in headers.items():
        if recognise(header):
            return _with_header(manifest, skipped, delimiter, header)
    for delimiter, cells in headers.items():
        at = _image_at(cells)
        if at is not None:
            return _without_header(manifest, skipped, delimiter, at, cells[at])
    delimiter = max(delimiters, key=lambda delimiter: len(headers[delimiter]))
    return _with_header(manifest, skipped, delimiter, headers[delimiter])


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return [line.strip()]


def _image_at(cells: Sequence[str]) -> int | None:
    """Returns the position of the image in a first line that is not a header, or None."""
    for at, cell in enumerate(cells[:2]):
        if has_image_suffix(cell) and len(cells) > 1:
            return at
        if not is_split_name(cell):
            return None
    return None


def _with_header(manifest: Path, skipped: int, delimiter: str, header: Sequence[str]) -> Table:
    def make(positions: Sequence[int]) -> Callable[[int, Sequence[str]], Record]:
        def record(line: int, cells: Sequence[str]) -> Record:
            if len(cells) != len(header):
                return Record(
                    line,
                    tuple(cells[at] if at < len(cells) else None for at in positions),
                    f"Expected {len(header)} values, as in the header. Received: {len(cells)}.",
                )
            return Record(line, tuple([cells[at] for at in positions]))

        return record

    def read(positions: Sequence[int]) -> Iterator[Record]:
        return _records(manifest, skipped + 1, delimiter, make(positions))

    return Table(tuple(header), read)


def _without_header(
    manifest: Path, skipped: int, delimiter: str, image_at: int, image: str
) -> Table:
    def record(positions: Sequence[int]) -> Callable[[int, Sequence[str]], Record]:
        def make(line: int, cells: Sequence[str]) -> Record:
            named = [cell.strip() for cell in cells]
            values = (
                named[0] if image_at else None,
                named[image_at] if image_at < len(named) else None,
                [name for name in named[image_at + 1 :] if name],
            )
            return Record(line, tuple(values[at] for at in positions))

        return make

    def read(positions: Sequence[int]) -> Iterator[Record]:
        return _records(manifest, skipped, delimiter, record(positions))

    return Table(HEADERLESS_COLUMNS, read, names_objects=bool(_BUCKET.match(image)))


def _records(
    manifest: Path,
    skipped: int,
    delimiter: str,
    record: Callable[[int, Sequence[str]], Record],
) -> Iterator[Record]:
    """Yields the records after so many lines."""
    with open_lines(manifest, _FORM) as lines:
        for _ in itertools.islice(lines, skipped):
            pass
        yield from _parse(manifest, lines, skipped, delimiter, record)


def _parse(
    manifest: Path,
    lines: TextLines,
    skipped: int,
    delimiter: str,
    record: Callable[[int, Sequence[str]], Record],
) -> Iterator[Record]:
    text: Iterable[str] = lines
    reader = csv.reader(text, strict=True, delimiter=delimiter)
    while True:
        line = reader.line_num + skipped + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"Expected CSV in {manifest}. Received: {error}, in the row that begins on line "
                f"{line}. Look for a quotation mark that is not closed or not doubled."
            ) from error
        problem = lines.problem_within(line, reader.line_num + skipped)
        if problem:
            yield Record(line, (), problem)
        elif cells:
            yield record(line, cells)


KIND = ManifestKind(
    (".csv", ".tsv"),
    f"a CSV file with the columns 'image,genres' (genres separated by '{GENRE_SEPARATOR}')",
    open_manifest,
)
