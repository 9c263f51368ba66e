"""Looks at data of any shape and says what they hold."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.contracts.genre_names import listing, spelling
from components.contracts.label_schema import LabelSchema
from components.cover_example_gen.columns import choose_columns
from components.cover_example_gen.config import ColumnsConfig, IngestConfig
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.layouts import Part
from components.cover_example_gen.locations import Locations
from components.cover_example_gen.manifests.kinds import Table
from components.cover_example_gen.rows import InspectedRow, inspect_rows
from components.cover_example_gen.sources import Row, Source, open_table
from components.cover_example_gen.spans import Span, find_spans
from components.support.errors import DataError
from components.support.texts import first_few
from pipeline.commands.init.columns import Column, ProposedColumns, propose_columns
from pipeline.commands.init.genres import ProposedGenres, propose_genres

_RECORDS = 1000
_IMAGES = 5000
_EXAMPLES = 3
_MOST_GENRES = 50


@dataclasses.dataclass(frozen=True)
class Findings:
    """What data hold.

    Attributes:
        rows: number of rows, of all spans.
        spans: numbers of the spans; empty for data without spans.
        columns: which columns of the manifests to use; None for folders.
        genres: the genres.
        without_genre: rows that name no genre.
        allow_no_genre: whether such rows are taken for covers without any of the genres.
        splits: split -> rows that the data give it; empty if the data give none.
        without_split: rows without a split, among others that have one.
        inspected: number of rows whose images were checked.
        formats: image format -> number among those.
        problems: reason -> rows of that reason among those, as `path: detail`.
    """

    rows: int
    spans: tuple[int, ...]
    columns: ProposedColumns | None
    genres: ProposedGenres
    without_genre: int
    allow_no_genre: bool
    splits: dict[str, int]
    without_split: int
    inspected: int
    formats: Counter[str]
    problems: dict[str, list[str]]


def find_out(data: Path, config: IngestConfig, schema: LabelSchema) -> Findings:
    """Looks at data.

    Args:
        data: a manifest, a folder, or a folder of spans.
        config: what the user chose; the rest is proposed.
        schema: the accepted images, and names that are genres in any data.

    Raises:
        ConfigError: there is nothing at `data`.
        DataError: there are no rows, or fewer than two genres.
    """
    spans = find_spans(data, config)
    columns = _propose_columns(spans[-1].source, config.columns)
    if columns:
        config = config.model_copy(update={"columns": columns.config})
    sources = [dataclasses.replace(span.source, config=config) for span in spans]
    with tempfile.TemporaryDirectory() as scratch:
        given = [
            (source, source.rows(Path(scratch, str(number))))
            for number, source in enumerate(sources)
        ]
        rows = [row for _, found in given for row in found]
        genres = propose_genres(
            ((row.genres, row.listed) for row in rows if not row.problem), schema.genres
        )
        # Columns of 0 and 1 say of each genre that the cover does not have it.
        one_hot = columns is not None and isinstance(columns.config.genres, tuple)
        without_genre = sum(not row.genres for row in rows if not row.problem)
        allow_no_genre = config.allow_no_genre or (one_hot and without_genre > 0)
        if columns:
            columns = _without_empty_genres(columns, genres)
        if len(genres.counts) < 2:
            raise DataError(
                f"Expected at least two genres in {data}. Received: "
                f"{listing(genres.counts) or 'none'}. Give one folder per genre, or name the "
                "column of the genres with --set ingest.columns.genres=COLUMN."
            )
        known = dataclasses.replace(schema, genres=tuple(sorted(genres.counts)))
        inspected = list(_inspect(given, known, allow_no_genre))
    splits = Counter(row.split for row in rows if row.split)
    return Findings(
        rows=len(rows),
        spans=_numbers(spans),
        columns=columns,
        genres=genres,
        without_genre=without_genre,
        allow_no_genre=allow_no_genre,
        splits=dict(splits),
        without_split=sum(not row.split for row in rows) if splits else 0,
        inspected=len(inspected),
        formats=Counter(row.facts.format for row in inspected if row.facts),
        problems=_problems(inspected),
    )


def _numbers(spans: Sequence[Span]) -> tuple[int, ...]:
    return tuple(span.number for span in spans if span.number is not None)


def _propose_columns(source: Source, given: ColumnsConfig) -> ProposedColumns | None:
    """Proposes columns by the first manifest, which all others must have as well."""
    part = next((part for part in source.parts if part.manifest), None)
    if part is None or part.manifest is None:
        return None
    table = open_table(part.manifest, IngestConfig(columns=given))
    locations = Locations(source.directory, names_objects=table.names_objects)
    columns = _columns(table, part)
    proposed = propose_columns(part.manifest.name, columns, locations, part.folder, given)
    choose_columns(part.manifest, table, proposed.config, ())
    return proposed


def _without_empty_genres(columns: ProposedColumns, genres: ProposedGenres) -> ProposedColumns:
    """Leaves out columns of 0 and 1 that are never 1: nothing can be learnt of such a genre."""
    named = columns.config.genres
    if not isinstance(named, tuple):
        return columns
    known = set(map(spelling, genres.counts))
    empty = [name for name in named if spelling(name) not in known]
    if not empty:
        return columns
    config = columns.config.model_copy(
        update={"genres": tuple(name for name in named if name not in empty)}
    )
    said = f"left out, as no row has them: {first_few(empty)}"
    return dataclasses.replace(columns, config=config, found=(*columns.found, said))


def _columns(table: Table, part: Part) -> list[Column]:
    positions = range(len(table.columns))
    values = []
    for record in table.read(positions):
        if not record.problem:
            values.append(record.values)
        if len(values) >= _RECORDS:
            break
    if not values:
        raise DataError(f"Expected rows in {part.manifest}. Received: none that can be read.")
    by_column = zip(*values, strict=True)
    return [Column(name, column) for name, column in zip(table.columns, by_column, strict=True)]


def _inspect(
    given: Sequence[tuple[Source, list[Row]]], schema: LabelSchema, allow_no_genre: bool
) -> Iterator[InspectedRow]:
    """Checks rows as ingest does; of very many, some in equal distances."""
    step = -(-sum(len(rows) for _, rows in given) // _IMAGES)
    for delivery, (source, rows) in enumerate(given):
        directory = DataDirectory(source.directory, schema.largest_file)
        some = rows[::step]
        yield from inspect_rows(some, delivery, directory, schema, allow_no_genre=allow_no_genre)


def _problems(inspected: Sequence[InspectedRow]) -> dict[str, list[str]]:
    problems: dict[str, list[str]] = {}
    for row in inspected:
        if row.reason:
            line = f" (line {row.row.line})" if row.row.line else ""
            problems.setdefault(row.reason.value, []).append(f"{row.row.path}{line}: {row.detail}")
    return dict(sorted(problems.items(), key=lambda item: -len(item[1])))


def describe(findings: Findings, data: str) -> Iterator[str]:
    """Yields findings as lines for a person."""
    yield f"{data}: {findings.rows:,} rows" + (
        f" in spans {findings.spans[0]} to {findings.spans[-1]}" if findings.spans else ""
    )
    for sentence in findings.columns.found if findings.columns else ():
        yield f"  {sentence}"
    genres = findings.genres
    yield f"  {len(genres.counts)} genres: " + first_few(
        [f"{name} {count:,}" for name, count in genres.counts.items()], _MOST_GENRES
    )
    yield from _doubts(findings)
    if findings.splits:
        yield "  splits given: " + ", ".join(
            f"{n} {count:,}" for n, count in findings.splits.items()
        )
    else:
        yield "  splits: none given; they will be drawn"
    checked = "" if findings.inspected == findings.rows else f" of {findings.inspected:,} checked"
    yield f"  formats{checked}: " + (
        ", ".join(f"{name} {count:,}" for name, count in findings.formats.most_common()) or "none"
    )
    for reason, rows in findings.problems.items():
        yield f"  {len(rows):,} rows would be set aside as {reason}, such as"
        yield from (f"    {row}" for row in rows[:_EXAMPLES])
    if findings.columns and findings.columns.slices:
        yield (
            "  other columns, by which the evaluation can be sliced (ingest.slices): "
            + ", ".join(
                f"{name} ({distinct:,} values)" for name, distinct in findings.columns.slices
            )
        )


def _doubts(findings: Findings) -> Iterator[str]:
    """Yields what is not certain, and what was decided."""
    genres = findings.genres
    for text, parts in genres.divided[:_EXAMPLES]:
        yield f"    divided: {text!r} into {' and '.join(map(repr, parts))}"
    if len(genres.divided) > _EXAMPLES:
        yield f"    divided as well: {len(genres.divided) - _EXAMPLES:,} more texts"
    if genres.whole:
        yield (
            f"    kept whole: {first_few(list(map(repr, genres.whole)))}; if these are several "
            "genres, list the parts in the schema instead"
        )
    for name in genres.doubtful:
        yield (
            f"    {name!r} is taken for a genre ({genres.counts[name]:,} rows), but looks like the "
            "lack of one: remove it from the schema to have these rows set aside"
        )
    rare = [name for name, count in genres.counts.items() if count < _EXAMPLES]
    if rare:
        yield (f"    fewer than {_EXAMPLES} rows, too few to be in every split: {first_few(rare)}")
    if findings.without_genre:
        if findings.allow_no_genre:
            then = "taken for covers without any of the genres (ingest.allow_no_genre: true)"
        elif findings.columns:
            then = (
                "set aside; if they are covers without any of the genres, choose "
                "ingest.allow_no_genre: true"
            )
        else:
            then = "set aside"
        yield f"    {findings.without_genre:,} rows name no genre: {then}"
