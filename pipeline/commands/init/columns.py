"""Proposes which columns of a manifest hold the images, the genres and the splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from components.cover_example_gen.cells import flag, genre_names, split_of, text_of
from components.cover_example_gen.columns import GENRES_COLUMNS, IMAGE_COLUMNS, SPLIT_COLUMN
from components.cover_example_gen.config import ColumnsConfig
from components.cover_example_gen.locations import AmbiguousName, Locations
from components.cover_example_gen.manifests.kinds import EmbeddedImage
from components.support.errors import DataError

_IMAGES = (
    *IMAGE_COLUMNS,
    "filename",
    "file",
    "filepath",
    "file_path",
    "path",
    "image_path",
    "image_name",
    "image_file",
    "img",
    "cover",
    "cover_image",
    "image_id",
    "id",
)
_GENRES = (
    *GENRES_COLUMNS,
    "genre",
    "labels",
    "label",
    "tags",
    "tag",
    "categories",
    "category",
    "classes",
    "class",
    "styles",
    "style",
)
_SPLITS = (SPLIT_COLUMN, "subset", "set", "fold", "partition", "usage", "ml_use", "dataset")
_ENOUGH = 0.5
_MOST_NAMED = 20
_MOST_SLICE_VALUES = 0.8  # a column with more distinct values than this share of rows is an id


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a manifest with the values of some records."""

    name: str
    values: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class ProposedColumns:
    """The columns to use.

    Attributes:
        config: the columns of the image, the genres and the split.
        slices: names of other columns, and their numbers of distinct values.
        found: sentences that say what was chosen, and among what.
    """

    config: ColumnsConfig
    slices: tuple[tuple[str, int], ...]
    found: tuple[str, ...]


def propose_columns(
    manifest: str,
    columns: Sequence[Column],
    locations: Locations,
    folder: str,
    given: ColumnsConfig,
) -> ProposedColumns:
    """Proposes columns by their names and values.

    Args:
        manifest: its name, for messages.
        columns: all columns.
        locations: the files of the data directory.
        folder: the manifest's folder, relative to the data directory.
        given: what the user chose; it is not changed.

    Raises:
        DataError: no column holds images, or none holds genres.
    """
    said: list[str] = []
    image = given.image or _propose_image(manifest, columns, locations, folder, said)
    rest = [column for column in columns if not _same(column.name, image)]
    split = given.split if given.split is not None else _propose_split(rest, said)
    rest = [column for column in rest if not (split and _same(column.name, split))]
    genres = given.genres or _propose_genres(manifest, rest, said)
    used = (genres,) if isinstance(genres, str) else genres
    rest = [column for column in rest if not any(_same(column.name, name) for name in used)]
    return ProposedColumns(
        ColumnsConfig(image=image, genres=genres, split=split), tuple(_slices(rest)), tuple(said)
    )


def _propose_image(
    manifest: str,
    columns: Sequence[Column],
    locations: Locations,
    folder: str,
    said: list[str],
) -> str:
    shares = {column.name: _share_found(column, locations, folder) for column in columns}
    likely = [column for column in columns if shares[column.name] >= _ENOUGH]
    likely.sort(key=lambda column: (-_distinct(column), _rank(column.name, _IMAGES)))
    named = sorted(
        (column for column in columns if _rank(column.name, _IMAGES) < len(_IMAGES)),
        key=lambda column: _rank(column.name, _IMAGES),
    )
    if not likely and not named:
        raise DataError(
            f"Expected a column of {manifest} that names images. Received: "
            f"{_listed(columns)}; no value of them is the name of an image there. Name the column "
            "with --set ingest.columns.image=COLUMN."
        )
    chosen = (likely or named)[0]
    others = [column.name for column in likely[1:]]
    said.append(
        f"images: column '{chosen.name}'"
        + ("" if likely else ", but none of its values is the name of an image there")
        + (f"; {_quoted(others)} would fit as well" if others else "")
    )
    return chosen.name


def _share_found(column: Column, locations: Locations, folder: str) -> float:
    values = [value for value in column.values if value not in (None, "")]
    found = 0
    for value in values:
        if isinstance(value, EmbeddedImage):
            found += 1
        elif isinstance(value, (str, int)):
            try:
                found += locations.is_there(locations.find(text_of(value), folder))
            except AmbiguousName:
                found += 1
    return found / len(values) if values else 0.0


def _propose_split(columns: Sequence[Column], said: list[str]) -> str | None:
    for column in sorted(columns, key=lambda column: _rank(column.name, _SPLITS)):
        if _rank(column.name, _SPLITS) == len(_SPLITS):
            return None
        try:
            splits = {split_of(value) for value in column.values} - {None}
        except ValueError:
            continue
        if len(splits) > 1:
            said.append(f"splits: column '{column.name}'")
            return column.name
    return None


def _propose_genres(
    manifest: str, columns: Sequence[Column], said: list[str]
) -> str | tuple[str, ...]:
    named = sorted(
        (column for column in columns if _rank(column.name, _GENRES) < len(_GENRES)),
        key=lambda column: _rank(column.name, _GENRES),
    )
    flags = [column for column in columns if _holds_flags(column)]
    flags = flags if any(_says_yes(column) for column in flags) else []
    lists = [column for column in columns if _holds_lists(column)]
    if named and not (len(flags) > 1 and _holds_flags(named[0])):
        others = [column.name for column in named[1:]]
        said.append(
            f"genres: column '{named[0].name}'"
            + (f"; {_quoted(others)} may hold some as well" if others else "")
        )
        return named[0].name
    if len(flags) > 1:
        said.append(
            f"genres: {len(flags)} columns of 0 and 1: {_listed_names(flags)}; leave out of "
            "ingest.columns.genres those that are no genre"
        )
        return tuple(column.name for column in flags)
    if len(lists) == 1:
        said.append(f"genres: column '{lists[0].name}', which holds lists")
        return lists[0].name
    raise DataError(
        f"Expected a column of {manifest} that holds genres, or one of 0 and 1 for each genre. "
        f"Received: {_listed(columns)}, of which "
        + (
            f"{_quoted([each.name for each in lists])} hold lists."
            if lists
            else "none looks like it."
        )
        + " Name the column with --set ingest.columns.genres=COLUMN."
    )


def _holds_flags(column: Column) -> bool:
    values = [value for value in column.values if value not in (None, "")]
    try:
        return len([flag(value) for value in values]) > 0
    except ValueError:
        return False


def _says_yes(column: Column) -> bool:
    return any(flag(value) for value in column.values)


def _holds_lists(column: Column) -> bool:
    values = [value for value in column.values if value not in (None, "")]
    return bool(values) and all(
        isinstance(value, (list, tuple))
        or (isinstance(value, str) and value.strip().startswith("[") and genre_names(value)[1])
        for value in values
    )


def _slices(columns: Sequence[Column]) -> Iterator[tuple[str, int]]:
    for column in columns:
        if all(isinstance(value, (str, int, float, bool, type(None))) for value in column.values):
            distinct = len({text_of(value) for value in column.values} - {""})
            if 1 < distinct <= max(2, _MOST_SLICE_VALUES * len(column.values)):
                yield column.name, distinct


def _distinct(column: Column) -> int:
    return len(
        {
            value.name or number if isinstance(value, EmbeddedImage) else text_of(value)
            for number, value in enumerate(column.values)
        }
    )


def _rank(name: str, names: Sequence[str]) -> int:
    known = name.strip().casefold()
    return names.index(known) if known in names else len(names)


def _same(name: str, other: str) -> bool:
    return name.strip().casefold() == other.strip().casefold()


def _listed_names(columns: Sequence[Column]) -> str:
    names = [column.name for column in columns]
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _listed(columns: Sequence[Column]) -> str:
    return f"the columns {', '.join(column.name for column in columns)}"[:300]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
