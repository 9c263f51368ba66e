"""Which columns of a manifest are used, and what a record says by them."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.cover_example_gen.cells import flag, genre_names, split_of, text_of
from components.cover_example_gen.config import ColumnsConfig
from components.cover_example_gen.manifests.kinds import (
    EmbeddedImage,
    Record,
    Table,
    expected_manifests,
)
from components.support.errors import DataError
from components.support.suggestions import did_you_mean

IMAGE_COLUMNS = ("image", "file_name")
GENRES_COLUMNS = ("genres",)
SPLIT_COLUMN = "split"

_MOST_COLUMNS_NAMED = 40


@dataclasses.dataclass(frozen=True)
class Columns:
    """Positions of the columns used, in the order in which a table reads them.

    Attributes:
        image: position of the image.
        genres: position of the genre names, or those of one column for each genre.
        one_hot: names of the genres that `genres` holds 0 or 1 for; empty for a column of names.
        split: position of the split, or None.
        slices: names and positions of the columns that the evaluation slices by.
    """

    image: int
    genres: tuple[int, ...]
    one_hot: tuple[str, ...] = ()
    split: int | None = None
    slices: tuple[tuple[str, int], ...] = ()

    @property
    def positions(self) -> tuple[int, ...]:
        """All positions: image, genres, split, slices."""
        split = () if self.split is None else (self.split,)
        return (self.image, *self.genres, *split, *(at for _, at in self.slices))


class Said(NamedTuple):
    """What a record says.

    Attributes:
        path: the image's path or id as given; of an image in the manifest, its name or empty.
        genres: genre names as given.
        listed: whether they were given one by one.
        split: the split, or None.
        values: name -> value of the slice columns that have one.
        image: the image, if the manifest holds it.
        problem: what is wrong with the record, or None.
    """

    path: str = ""
    genres: tuple[str, ...] = ()
    listed: bool = False
    split: str | None = None
    values: tuple[tuple[str, str], ...] = ()
    image: EmbeddedImage | None = None
    problem: str | None = None


def are_recognised(names: Sequence[str], options: ColumnsConfig) -> bool:
    """Tells whether a manifest with columns of these names can be read; see `choose_columns`."""
    try:
        _choose(names, options, ())
    except _Missing:
        return False
    return True


def choose_columns(
    manifest: Path, table: Table, options: ColumnsConfig, slices: Sequence[str]
) -> Columns:
    """Chooses the columns of a manifest by the options or, without any, by their names.

    Raises:
        DataError: a column is not there, or there twice.
    """
    try:
        return _choose(table.columns, options, slices)
    except _Missing as missing:
        raise DataError(
            f"Expected {manifest} {missing}. {_received(table.columns, missing)} Name them in "
            f"ingest.columns, let `covers init` propose them, or give {expected_manifests()}."
        ) from None


def names_an_image_column(column: str | None, names: Sequence[str]) -> bool:
    """Tells whether there is a column of images; see `image_column`."""
    try:
        _image_position(names, column)
    except _Missing:
        return False
    return True


def image_column(manifest: str, names: Sequence[str], column: str | None) -> int:
    """Returns the position of the images in a manifest of which nothing else is needed.

    Args:
        manifest: its path or URL, for messages.
        names: names of its columns.
        column: the column's name; None takes one of `IMAGE_COLUMNS`.

    Raises:
        DataError: there is no such column, or there are two.
    """
    try:
        return _image_position(names, column)
    except _Missing as missing:
        wanted = " or ".join(map(repr, [column] if column else IMAGE_COLUMNS))
        raise DataError(
            f"Expected {manifest} to have one column {wanted}. {_received(names, missing)} Name "
            "the images' column with --image-column."
        ) from None


class _Missing(Exception):
    """A column is missing; `name` is that of the first."""

    def __init__(self, names: Sequence[str], times: int) -> None:
        wanted = " or ".join(f"'{name}'" for name in names)
        there = "once" if times else "at all"
        super().__init__(
            f"to name the columns '{IMAGE_COLUMNS[0]}' and '{GENRES_COLUMNS[0]}' once each"
            if names in (IMAGE_COLUMNS, GENRES_COLUMNS)
            else f"to have the column {wanted} {there}"
        )
        self.name = names[0]


def _choose(names: Sequence[str], options: ColumnsConfig, slices: Sequence[str]) -> Columns:
    known = [_normal(name) for name in names]

    def position(*wanted: str) -> int:
        return _position(known, *wanted)

    image = _image_position(names, options.image)
    one_hot: tuple[str, ...] = ()
    if isinstance(options.genres, tuple):
        one_hot = options.genres
        genres = tuple(position(name) for name in one_hot)
    else:
        genres = (position(*([options.genres] if options.genres else GENRES_COLUMNS)),)
    split = None
    if options.split:
        split = position(options.split)
    elif options.split is None and known.count(SPLIT_COLUMN) == 1:
        split = known.index(SPLIT_COLUMN)
    return Columns(image, genres, one_hot, split, tuple((name, position(name)) for name in slices))


def _received(names: Sequence[str], missing: _Missing) -> str:
    received = ", ".join(names[:_MOST_COLUMNS_NAMED])[:200] or "none"
    return f"Received the columns: {received}.{did_you_mean(missing.name, names)}"


def _image_position(names: Sequence[str], column: str | None) -> int:
    known = [_normal(name) for name in names]
    return _position(known, *([column] if column else IMAGE_COLUMNS))


def _position(known: Sequence[str], *wanted: str) -> int:
    """Returns the position of the only column with one of the names; `known` are normal ones."""
    normal = {_normal(each) for each in wanted}
    found = [at for at, name in enumerate(known) if name in normal]
    if len(found) != 1:
        raise _Missing(wanted, len(found))
    return found[0]


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def interpret(record: Record, columns: Columns) -> Said:
    """Returns what a record, read at the positions of the columns, says."""
    if record.problem:
        return Said(path=text_of(record.values[0]) if record.values else "", problem=record.problem)
    image, *values = record.values
    is_embedded = isinstance(image, EmbeddedImage)
    path = image.name if is_embedded else text_of(image)
    embedded = image if is_embedded else None
    try:
        names, listed = _genres(values[: len(columns.genres)], columns.one_hot)
        rest = values[len(columns.genres) :]
        split = None if columns.split is None else split_of(rest.pop(0))
    except ValueError as error:
        return Said(path, image=embedded, problem=str(error))
    if not rest:
        return Said(path, names, listed, split, (), embedded)
    named = zip((name for name, _ in columns.slices), map(text_of, rest), strict=True)
    sliced = tuple((name, value) for name, value in named if value)
    return Said(path, names, listed, split, sliced, embedded)


def _genres(values: Sequence[Any], one_hot: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    if not one_hot:
        return genre_names(values[0])
    given = []
    for name, value in zip(one_hot, values, strict=True):
        try:
            if flag(value):
                given.append(name)
        except ValueError as error:
            raise ValueError(f"Column '{name}': {error}") from error
    return tuple(given), True
