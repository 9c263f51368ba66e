"""The quarantine: rows that could not become examples, with source, line and reason.

`quarantine.jsonl` holds one JSON record per row (`pandas.read_json(path, lines=True)`);
`summary.json` holds the row counts: rows given == rows ingested + rows quarantined.
`unlisted_files.jsonl` holds, in the same form, image files that no row of a manifest names: they
were not given, so they are not counted there. `straddling.jsonl` holds near-duplicates in different
splits, which only splits given by the data can have, and `contradictions.jsonl` near-duplicates
that name different genres.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.contracts.records import reading

QUARANTINE_FILE_NAME = "quarantine.jsonl"
UNLISTED_FILE_NAME = "unlisted_files.jsonl"
CONTRADICTIONS_FILE_NAME = "contradictions.jsonl"
SUMMARY_FILE_NAME = "summary.json"
STRADDLING_FILE_NAME = "straddling.jsonl"

FEWEST_GROUPS = 3
"""How many near-duplicate groups a genre needs to be in every split."""


class Reason(str, enum.Enum):
    """Why a row was quarantined. The values are stable codes, explained in docs/ingest.md."""

    MALFORMED_ROW = "malformed_row"
    OUTSIDE_DATA_DIRECTORY = "outside_data_directory"
    MISSING_FILE = "missing_file"
    NOT_A_FILE = "not_a_file"
    UNREADABLE_FILE = "unreadable_file"
    UNREADABLE_FOLDER = "unreadable_folder"
    EMPTY_FILE = "empty_file"
    FILE_TOO_LARGE = "file_too_large"
    NOT_AN_IMAGE = "not_an_image"
    GIT_LFS_POINTER = "git_lfs_pointer"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNSUPPORTED_COLOURS = "unsupported_colours"
    UNDECODABLE_IMAGE = "undecodable_image"
    IMAGE_SIZE_OUT_OF_RANGE = "image_size_out_of_range"
    NO_GENRE = "no_genre"
    UNKNOWN_GENRE = "unknown_genre"
    CONTRADICTING_LABELS = "contradicting_labels"
    PLACEHOLDER = "placeholder"
    DROPPED = "dropped"
    BETWEEN_SPLITS = "between_splits"
    NO_SPLIT = "no_split"
    IN_SEVERAL_SPLITS = "in_several_splits"
    UNLISTED_FILE = "unlisted_file"


class RowRejected(Exception):
    """A row cannot become an example; carries the reason and the detail."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


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
class StraddlingPair:
    """Two near-duplicates in different splits, of which one leaks the other.

    Attributes:
        image_ids: their identities.
        paths: where each was found.
        splits: the split of each.
    """

    image_ids: tuple[str, ...]
    paths: tuple[str, ...]
    splits: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Contradiction:
    """Two near-duplicates that name different genres.

    Attributes:
        ids: identities of the two covers.
        paths: one path of each.
        genres: the genres that the rows of each name.
        distance: differing bits of their perceptual hashes, of 256.
        outcome: what became of the labels: `merged`, `kept` or `quarantined`.
    """

    ids: tuple[str, str]
    paths: tuple[str, str]
    genres: tuple[tuple[str, ...], tuple[str, ...]]
    distance: int
    outcome: str


@dataclasses.dataclass(frozen=True)
class Placeholder:
    """One picture in place of many covers.

    Attributes:
        image_id: identity of one of its files.
        path: path of that file.
        rows: number of rows that show it.
        images: number of different files among them.
        share: their share of the acceptable rows.
        label_sets: number of different sets of genres among them.
        flat: whether it is one even grey level.
    """

    image_id: str
    path: str
    rows: int
    images: int
    share: float
    label_sets: int
    flat: bool


@dataclasses.dataclass(frozen=True)
class IngestSummary:
    """The row counts of one ingest, and what else it found.

    Attributes:
        source: the manifest or data directory, as given.
        rows_given: rows of the manifest, or files in the genre folders.
        rows_ingested: rows that are part of an example.
        rows_quarantined: rows set aside, with their counts in `quarantined_by_reason`.
        examples: distinct covers written, with their counts in `examples_by_split`.
        near_duplicate_groups: groups of two or more covers, of `near_duplicates` covers in all.
        genres_by_split: split -> genre -> number of examples.
        groups_by_genre: genre -> number of near-duplicate groups that have it.
        spans: numbers of the spans that were taken, ascending; empty for data without spans.
        previous_span: the span that the newest one is compared with, or None.
        drift_examples: covers on the two sides of that comparison: the newest span's, then the
            previous span's; empty without a previous span.
        united_labels: covers whose rows name different genres; such a cover gets all of them.
        relabelled: examples whose genres a person's decisions changed.
        converted: format, such as `WebP` -> number of covers converted from it.
        corrected: what was wrong with a JPEG or PNG, such as `rotated` or `transparent` -> number
            of covers converted for that.
        imperfect: covers whose file has a harmless imperfection, such as a wrong version.
        contradicting_pairs: outcome -> number of pairs in `contradictions.jsonl`.
        placeholders: pictures in place of many covers.
        without_genre: examples that have none of the genres.
        unreadable_folders: folders that could not be listed; each is one row, whatever it holds.
        unlisted_files: image files beside listed ones that no row of the manifest names.
        clutter: kind of clutter -> number of files or folders that were no rows.
        given_splits: whether the data gave the splits.
        drawn_from_train: the splits that the data lacked, which were drawn from train.
        straddling: splits such as "train and test" -> pairs of near-duplicates across them.
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
    spans: tuple[int, ...] = ()
    previous_span: int | None = None
    drift_examples: tuple[int, ...] = ()
    united_labels: int = 0
    relabelled: int = 0
    converted: dict[str, int] = dataclasses.field(default_factory=dict)
    corrected: dict[str, int] = dataclasses.field(default_factory=dict)
    imperfect: int = 0
    contradicting_pairs: dict[str, int] = dataclasses.field(default_factory=dict)
    placeholders: tuple[Placeholder, ...] = ()
    without_genre: int = 0
    unreadable_folders: tuple[str, ...] = ()
    unlisted_files: int = 0
    clutter: dict[str, int] = dataclasses.field(default_factory=dict)
    given_splits: bool = False
    drawn_from_train: tuple[str, ...] = ()
    straddling: dict[str, int] = dataclasses.field(default_factory=dict)
    groups_by_genre: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def rows_merged(self) -> int:
        """Rows that repeat, byte for byte, the cover of another row."""
        return self.rows_ingested - self.examples


def write_quarantine(
    directory: Path, rows: Iterable[QuarantinedRow], file_name: str = QUARANTINE_FILE_NAME
) -> None:
    """Writes one JSON record per row, in the order given.

    Bytes of file names that are not UTF-8 are written in hex, for readers that reject them.
    """
    with (directory / file_name).open("w", encoding="utf-8") as file:
        for row in rows:
            record = {key: _printable(value) for key, value in dataclasses.asdict(row).items()}
            file.write(json.dumps(record, ensure_ascii=True) + "\n")


def read_quarantine(directory: Path | str) -> list[QuarantinedRow]:
    """Reads what `write_quarantine` wrote.

    Raises:
        DeploymentError: the file is absent, or something else.
    """
    path = Path(directory) / QUARANTINE_FILE_NAME
    with reading(path, "quarantined rows"), path.open(encoding="utf-8") as file:
        return [QuarantinedRow(**json.loads(line)) for line in file]


def write_straddling(directory: Path, pairs: Iterable[StraddlingPair]) -> None:
    """Writes one JSON record per pair of near-duplicates in different splits."""
    with (directory / STRADDLING_FILE_NAME).open("w", encoding="utf-8") as file:
        for pair in pairs:
            record = {
                key: [_printable(value) for value in values]
                for key, values in dataclasses.asdict(pair).items()
            }
            file.write(json.dumps(record, ensure_ascii=True) + "\n")


def write_contradictions(directory: Path, pairs: Iterable[Contradiction]) -> None:
    """Writes one JSON record per pair, in the order given."""
    with (directory / CONTRADICTIONS_FILE_NAME).open("w", encoding="utf-8") as file:
        for pair in pairs:
            record = dataclasses.asdict(pair) | {"paths": list(map(_printable, pair.paths))}
            file.write(json.dumps(record, ensure_ascii=True) + "\n")


def read_contradictions(directory: Path | str) -> list[Contradiction]:
    """Reads what `write_contradictions` wrote; nothing if there is no such file.

    Raises:
        DeploymentError: the file holds something else.
    """
    path = Path(directory) / CONTRADICTIONS_FILE_NAME
    if not path.exists():
        return []
    with reading(path, "contradicting pairs"), path.open(encoding="utf-8") as file:
        return [_contradiction(json.loads(line)) for line in file]


def _contradiction(fields: dict[str, Any]) -> Contradiction:
    first, second = fields["genres"]
    pairs = {"ids": tuple(fields["ids"]), "paths": tuple(fields["paths"])}
    return Contradiction(**fields | pairs | {"genres": (tuple(first), tuple(second))})


def write_summary(directory: Path, summary: IngestSummary) -> None:
    """Writes `summary.json`."""
    text = json.dumps(dataclasses.asdict(summary), indent=2)
    (directory / SUMMARY_FILE_NAME).write_text(text + "\n", encoding="utf-8")


def read_summary(directory: Path | str) -> IngestSummary:
    """Reads what `write_summary` wrote.

    Raises:
        DeploymentError: the file is absent, or something else.
    """
    path = Path(directory) / SUMMARY_FILE_NAME
    with reading(path, "the row counts of an ingest"):
        return _summary(json.loads(path.read_text(encoding="utf-8")))


def _summary(fields: dict[str, Any]) -> IngestSummary:
    for key in ("spans", "drift_examples", "drawn_from_train", "unreadable_folders"):
        fields[key] = tuple(fields.get(key, ()))
    fields["placeholders"] = tuple(Placeholder(**each) for each in fields.get("placeholders", ()))
    known = {field.name for field in dataclasses.fields(IngestSummary)}
    return IngestSummary(**{key: value for key, value in fields.items() if key in known})


def describe_clutter(clutter: Mapping[str, int]) -> str:
    """Returns the kinds of clutter with their numbers, most frequent first."""
    ordered = sorted(clutter.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in ordered)


def count_reasons(rows: Iterable[QuarantinedRow]) -> dict[str, int]:
    """Counts rows by reason code, most frequent first."""
    return dict(Counter(row.reason for row in rows).most_common())


def _printable(value: str | int | None) -> str | int | None:
    if not isinstance(value, str):
        return value
    try:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character, which JSON can hold
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
