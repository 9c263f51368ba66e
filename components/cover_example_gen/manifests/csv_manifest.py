"""Reads a CSV manifest as found in practice: with any of three delimiters, in UTF-8 or UTF-16.

The delimiter is whichever of `,` `;` and tab makes the first line name both columns. A line that
cannot be a row becomes a row with a problem; a file that cannot be a manifest is an error.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from components.contracts.label_schema import GENRE_SEPARATOR
from components.cover_example_gen.manifests.kinds import ManifestKind, ManifestRow
from components.support.errors import DataError

IMAGE_COLUMN = "image"
GENRES_COLUMN = "genres"
_EXPECTED = (
    f"a CSV file with the columns '{IMAGE_COLUMN},{GENRES_COLUMN}' (genres separated by "
    f"'{GENRE_SEPARATOR}')"
)

LONGEST_LINE = 65_536

_DELIMITERS = (",", ";", "\t")
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_manifest(manifest: Path) -> Iterator[ManifestRow]:
    """Yields the rows of a manifest, in order.

    Raises:
        DataError: the file cannot be read as a CSV with an image and a genres column.
    """
    try:
        with manifest.open("rb") as file:
            encoding = "utf-16" if file.read(2) in _UTF_16_MARKS else "utf-8-sig"
        with manifest.open(encoding=encoding, errors="surrogateescape", newline="") as text:
            yield from _parse(_Lines(text, manifest), manifest)
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(
            f"Expected {manifest} to be a CSV file in UTF-8. Received: {error}. "
            "Save it as UTF-8 CSV."
        ) from error


class _Lines:
    """Lines of bounded length; those that cannot be read as text are left out as empty ones."""

    def __init__(self, text: TextIO, manifest: Path) -> None:
        self._text = text
        self._manifest = manifest
        self._number = 0
        self._problems: dict[int, str] = {}

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self._number += 1
        if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
            self._skip_rest()
            return self._leave_out(f"Expected a line of fewer than {LONGEST_LINE:,} characters.")
        if "\0" in line:
            return self._leave_out("Expected text. Received: a line with a NUL character.")
        undecoded = next((c for c in line if "\udc80" <= c <= "\udcff"), None)
        if undecoded:
            raise DataError(
                f"Expected {self._manifest} to be a CSV file in UTF-8. Received: byte "
                f"0x{ord(undecoded) - 0xDC00:02x} on line {self._number}. Save it as UTF-8 CSV."
            )
        return line

    def problem_within(self, first: int, last: int) -> str | None:
        """Returns the problem of a line, among those given, that was left out; or None."""
        return next((text for n, text in self._problems.items() if first <= n <= last), None)

    def _skip_rest(self) -> None:
        while (rest := self._text.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
            pass

    def _leave_out(self, problem: str) -> str:
        self._problems[self._number] = problem
        return "\n"


def _parse(lines: _Lines, manifest: Path) -> Iterator[ManifestRow]:
    first = next(lines, "")
    header, delimiter = _header(first, manifest)
    image_at, genres_at = header.index(IMAGE_COLUMN), header.index(GENRES_COLUMN)
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    while True:
        line = reader.line_num + 2  # the header was read separately
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"Expected CSV in {manifest}. Received: {error}, in the row that begins on line "
                f"{line}. Look for a quotation mark that is not closed or not doubled."
            ) from error
        problem = lines.problem_within(line, reader.line_num + 1)
        if problem:
            yield ManifestRow(line, "", (), problem)
        elif values and len(values) != len(header):
            problem = f"Expected {len(header)} values, as in the header. Received: {len(values)}."
            path = values[image_at] if image_at < len(values) else ""
            yield ManifestRow(line, path, (), problem)
        elif values:
            names = map(str.strip, values[genres_at].split(GENRE_SEPARATOR))
            yield ManifestRow(line, values[image_at].strip(), tuple(filter(None, names)))


def _header(first: str, manifest: Path) -> tuple[list[str], str]:
    for delimiter in _DELIMITERS:
        names = next(csv.reader([first], delimiter=delimiter), [])
        header = [name.strip().casefold() for name in names]
        if header.count(IMAGE_COLUMN) == 1 and header.count(GENRES_COLUMN) == 1:
            return header, delimiter
    raise DataError(
        f"Expected the first line of {manifest} to name the columns '{IMAGE_COLUMN}' and "
        f"'{GENRES_COLUMN}' once each. Received: {first.strip()[:200]!r}. "
        f"Give {_EXPECTED}."
    )


KIND = ManifestKind((".csv",), _EXPECTED, read_manifest)
