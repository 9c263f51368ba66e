"""Checks rows completely: the row itself, its file, its image, its genres."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.contracts.backgrounds import DEFAULT_BACKGROUND
from components.contracts.genre_names import GENRE_SEPARATOR, listing
from components.contracts.label_schema import LabelSchema
from components.contracts.quarantine import QuarantinedRow, Reason, RowRejected
from components.cover_example_gen.batches import batches_by_size
from components.cover_example_gen.clutter import is_lfs_pointer
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.images import AcceptedImages, ImageFacts, inspect_images
from components.cover_example_gen.sources import Row

_LONGEST_DETAIL = 1000
_BYTES_AT_ONCE = 16 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class InspectedRow:
    """A row after its check.

    Attributes:
        row: the row as given.
        delivery: position of its span among the spans read.
        file: the image's path as it is on disk, relative to the source's directory.
        facts: what is known about its image; None if the image is not acceptable.
        genres: schema genres, sorted; empty if the row is rejected, or names none and may.
        reason: why the row is rejected, or None.
        detail: what was expected and what was received.
    """

    row: Row
    delivery: int
    file: str = ""
    facts: ImageFacts | None = None
    genres: tuple[str, ...] = ()
    reason: Reason | None = None
    detail: str = ""


def inspect_rows(
    rows: Sequence[Row],
    delivery: int,
    directory: DataDirectory,
    schema: LabelSchema,
    *,
    background: str = DEFAULT_BACKGROUND,
    allow_no_genre: bool = False,
) -> Iterator[InspectedRow]:
    """Checks rows; what is wrong with one is part of its result.

    An acceptable image of a row without usable genres keeps its facts: it still takes part in
    naming near-duplicate groups, so that fixing its genres later renames none.
    """
    accepted = AcceptedImages(
        schema.image_formats, schema.smallest_side, schema.largest_side, background
    )
    read = (_read_file(row, directory) for row in rows)
    for files in batches_by_size(read, lambda file: len(file.encoded), _BYTES_AT_ONCE):
        images = inspect_images([file.encoded for file in files if not file.rejected], accepted)
        remaining = iter(images)
        for file in files:
            found = file.rejected or next(remaining)
            if isinstance(found, RowRejected):
                yield InspectedRow(
                    file.row, delivery, file.path, None, (), found.reason, found.detail
                )
            else:
                yield _labelled(file, delivery, found, schema, allow_no_genre)


@dataclasses.dataclass(slots=True)
class _ReadFile:
    row: Row
    path: str = ""
    encoded: bytes = b""
    rejected: RowRejected | None = None


def _read_file(row: Row, directory: DataDirectory) -> _ReadFile:
    if row.problem:
        return _ReadFile(row, rejected=RowRejected(Reason.MALFORMED_ROW, row.problem))
    if row.unreadable:
        return _ReadFile(row, rejected=_unreadable_folder(row))
    try:
        return _ReadFile(row, *read_row(row, directory))
    except RowRejected as rejected:
        return _ReadFile(row, rejected=rejected)


def _unreadable_folder(row: Row) -> RowRejected:
    return RowRejected(
        Reason.UNREADABLE_FOLDER,
        f"Expected a folder that can be listed. Received: {row.unreadable}. The covers in it are "
        "unknown, so it counts as one row.",
    )


def read_row(row: Row, directory: DataDirectory) -> tuple[str, bytes]:
    """Returns the path of a row's image as it is on disk, or as given, and the image's bytes.

    Raises:
        RowRejected: there is no such file, or it may not be read.
    """
    if row.extracted:
        file = Path(row.extracted)
        scratch = DataDirectory(file.parent, directory.largest_file)
        return row.path, scratch.read(file.name)[1]
    path, encoded = directory.read(row.file or row.path)
    if is_lfs_pointer(encoded):
        raise RowRejected(
            Reason.GIT_LFS_POINTER,
            "Expected an image. Received: a pointer to one that Git LFS did not download. Run "
            "`git lfs pull`.",
        )
    return path, encoded


def _labelled(
    file: _ReadFile, delivery: int, facts: ImageFacts, schema: LabelSchema, allow_no_genre: bool
) -> InspectedRow:
    row, path = file.row, file.path
    try:
        genres = match_genres(row.genres, schema, row.listed)
        return InspectedRow(row, delivery, path, facts, genres)
    except RowRejected as rejected:
        # A file beside the folders of the genres has no label; a row of a manifest has said so.
        if allow_no_genre and rejected.reason is Reason.NO_GENRE and row.line is not None:
            return InspectedRow(row, delivery, path, facts)
        return InspectedRow(row, delivery, path, facts, (), rejected.reason, rejected.detail)


@functools.lru_cache(maxsize=4096)
def match_genres(
    names: tuple[str, ...], schema: LabelSchema, listed: bool = False
) -> tuple[str, ...]:
    """Returns the schema's genres that the names spell, sorted.

    Args:
        names: the names as given; each may itself be a list of genres.
        schema: the known genres.
        listed: whether the names were given one by one: none is divided.

    Raises:
        RowRejected: there is no genre, or one that is not in the schema.
    """
    known = listing(schema.genres)
    matched, unknown = schema.find_all(names, listed=listed)
    if unknown:
        raise RowRejected(
            Reason.UNKNOWN_GENRE,
            f"Expected genres among {known}. Received: {GENRE_SEPARATOR.join(unknown)}.",
        )
    if not matched:
        raise RowRejected(
            Reason.NO_GENRE, f"Expected at least one of the genres {known}. Received: none."
        )
    return tuple(sorted(set(matched)))


def quarantined_row(inspected: InspectedRow, folder: str) -> QuarantinedRow:
    """Returns the record of a rejected row; `folder` is that of its span, or empty."""
    assert inspected.reason is not None
    row = inspected.row
    return QuarantinedRow(
        row.source,
        row.line,
        str(Path(folder, row.path)) if row.line is None else row.path,
        inspected.reason.value,
        inspected.detail[:_LONGEST_DETAIL],
    )
