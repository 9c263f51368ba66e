"""The quarantine: rows that could not become examples, with source, line and reason.

`quarantine.jsonl` holds one JSON record a row (`pandas.read_json(path, lines=True)`);
`summary.json` holds the account: rows given == rows ingested + rows quarantined.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

QUARANTINE_FILE_NAME = "quarantine.jsonl"
SUMMARY_FILE_NAME = "summary.json"


class Reason(str, enum.Enum):
    """Why a row was quarantined. The values are stable codes."""

    MALFORMED_ROW = "malformed_row"
    OUTSIDE_DATA_DIRECTORY = "outside_data_directory"
    MISSING_FILE = "missing_file"
    UNREADABLE_FILE = "unreadable_file"
    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNDECODABLE_IMAGE = "undecodable_image"
    IMAGE_SIZE_OUT_OF_RANGE = "image_size_out_of_range"
    NO_GENRE = "no_genre"
    UNKNOWN_GENRE = "unknown_genre"


@dataclasses.dataclass(frozen=True, order=True)
class QuarantinedRow:
    """One row that could not become an example.

    Attributes:
        source: the manifest file, or the data directory, the row came from.
        line: 1-based line in the manifest; None for a file in a folder.
        path: the image's path as given.
        reason: a `Reason` code.
        detail: what was expected and what was received.
    """

    source: str
    line: int | None
    path: str
    reason: str
    detail: str


@dataclasses.dataclass(frozen=True)
class IngestSummary:
    """The account of one ingest.

    Attributes:
        source: the manifest or data directory, as given.
        rows_given: rows of the manifest, or files in the genre folders.
        rows_ingested: rows that are part of an example.
        rows_quarantined: rows set aside, with their counts in `quarantined_by_reason`.
        examples: distinct covers written, with their counts in `examples_by_split`.
        near_duplicate_groups: groups of two or more covers, of `near_duplicates` covers in all.
        genres_by_split: split -> genre -> number of examples.
    """

    source: str
    rows_given: int
    rows_ingested: int
    rows_quarantined: int
    quarantined_by_reason: dict[str, int]
    examples: int
    examples_by_split: dict[str, int]
    near_duplicate_groups: int
    near_duplicates: int
    genres_by_split: dict[str, dict[str, int]]

    @property
    def rows_merged(self) -> int:
        """Rows that repeat, byte for byte, the cover of another row."""
        return self.rows_ingested - self.examples


def write_quarantine(directory: Path, rows: Iterable[QuarantinedRow]) -> None:
    """Writes `quarantine.jsonl`, in the order given."""
    with (directory / QUARANTINE_FILE_NAME).open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dataclasses.asdict(row), ensure_ascii=True) + "\n")


def read_quarantine(directory: Path | str) -> list[QuarantinedRow]:
    """Reads what `write_quarantine` wrote."""
    with (Path(directory) / QUARANTINE_FILE_NAME).open(encoding="utf-8") as file:
        return [QuarantinedRow(**json.loads(line)) for line in file]


def write_summary(directory: Path, summary: IngestSummary) -> None:
    """Writes `summary.json`."""
    text = json.dumps(dataclasses.asdict(summary), indent=2)
    (directory / SUMMARY_FILE_NAME).write_text(text + "\n", encoding="utf-8")


def read_summary(directory: Path | str) -> IngestSummary:
    """Reads what `write_summary` wrote."""
    path = Path(directory) / SUMMARY_FILE_NAME
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return IngestSummary(**fields)


def count_reasons(rows: Iterable[QuarantinedRow]) -> dict[str, int]:
    """Counts rows by reason code, most frequent first."""
    return dict(Counter(row.reason for row in rows).most_common())
