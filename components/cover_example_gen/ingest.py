"""The Beam pipeline of ingest: rows in, TFRecord shards and a quarantine out.

Image bytes never travel through a shuffle: rows become small facts, facts are grouped into covers
and planned into shards, and each shard reads its files again while it is written.
"""

from __future__ import annotations

import dataclasses
import pickle
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam

from components import progress
from components.cover_example_gen.examples import Cover, cover_to_example
from components.cover_example_gen.images import ImageFacts, ImageRejected, inspect_image
from components.cover_example_gen.near_duplicates import group_near_duplicates
from components.cover_example_gen.sources import Row, Source
from components.cover_example_gen.splits import assign_split
from components.label_schema import GENRE_SEPARATOR, SPLITS, LabelSchema
from components.quarantine import IngestSummary, QuarantinedRow, Reason, count_reasons

STAGE = "CoverExampleGen"
_QUARANTINED = "quarantined"
_ROWS_PER_BATCH = 64
_THREADS = 4


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file to write: its covers in order, and the group of each."""

    split: str
    index: int
    count: int
    covers: tuple[Cover, ...]

    @property
    def file_name(self) -> str:
        """Its name, as TFX numbers shards."""
        return f"covers-{self.index:05d}-of-{self.count:05d}.tfrecord"


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """What was written to one shard; `changed` names files that changed during ingest."""

    split: str
    examples: int
    rows: int
    genres: dict[str, int]
    group_sizes: dict[str, int]
    changed: tuple[str, ...]


def build_ingest(
    pipeline: beam.Pipeline,
    rows: Sequence[Row],
    *,
    source: Source,
    schema: LabelSchema,
    splits: Mapping[str, float],
    examples_per_shard: int,
    split_directories: Mapping[str, str],
) -> tuple[beam.PCollection, beam.PCollection]:
    """Adds the ingest to a pipeline.

    Args:
        pipeline: the pipeline to add to.
        rows: the rows as given.
        source: where the rows came from.
        schema: genres and accepted images.
        splits: split -> share of the near-duplicate groups.
        examples_per_shard: largest number of examples in one file.
        split_directories: split -> existing directory for its shards.

    Returns:
        A single list of `QuarantinedRow`, sorted, and a single list of `ShardReport`.
    """
    batches = [rows[i : i + _ROWS_PER_BATCH] for i in range(0, len(rows), _ROWS_PER_BATCH)]
    inspected = (
        pipeline
        | "Rows" >> beam.Create(batches)
        | "SpreadRows" >> beam.Reshuffle()
        | "Inspect"
        >> beam.ParDo(_InspectRows(source.directory, schema, len(rows))).with_outputs(
            _QUARANTINED, main="covers"
        )
    )
    reports = (
        inspected["covers"]
        | "ById" >> beam.Map(lambda cover: (cover.facts.image_id, cover))
        | "GroupById" >> beam.GroupByKey()
        | "Merge" >> beam.MapTuple(lambda _, covers: merge_covers(covers))
        | "ListCovers" >> beam.combiners.ToList()
        | "PlanShards" >> beam.FlatMap(plan_shards, splits, examples_per_shard)
        | "SpreadShards" >> beam.Reshuffle()
        | "WriteShards" >> beam.Map(_write_shard, source.directory, schema, split_directories)
        | "ListReports" >> beam.combiners.ToList()
    )
    quarantined = (
        inspected[_QUARANTINED]
        | "ListQuarantined" >> beam.combiners.ToList()
        | "SortQuarantined" >> beam.Map(sort_quarantined)
    )
    return quarantined, reports


def inspect_row(row: Row, directory: Path, schema: LabelSchema) -> Cover | QuarantinedRow:
    """Checks one row completely: the row, its genres, its file, its image."""
    try:
        if row.problem:
            raise ImageRejected(Reason.MALFORMED_ROW, row.problem)
        genres = _match_genres(row.genres, schema)
        facts = inspect_image(
            _read_inside(directory, row.path),
            formats=schema.image_formats,
            smallest_side=schema.smallest_side,
            largest_side=schema.largest_side,
        )
    except ImageRejected as error:
        return QuarantinedRow(row.source, row.line, row.path, error.reason.value, error.detail)
    return Cover(facts=facts, group=facts.image_id, genres=genres, paths=(row.path,), rows=1)


def merge_covers(covers: Iterable[Cover]) -> Cover:
    """Merges rows with identical bytes into one cover with the union of genres and paths."""
    covers = list(covers)
    return dataclasses.replace(
        covers[0],
        genres=tuple(sorted({genre for cover in covers for genre in cover.genres})),
        paths=tuple(sorted({path for cover in covers for path in cover.paths})),
        rows=sum(cover.rows for cover in covers),
    )


def plan_shards(
    covers: Iterable[Cover], splits: Mapping[str, float], examples_per_shard: int
) -> list[Shard]:
    """Groups near-duplicates, draws splits by group and cuts each split into shards.

    Covers are ordered by `image/id`, a hash: a random order that is the same for the same covers.
    Every split has at least one shard, if an empty one.
    """
    ordered = sorted(covers, key=lambda cover: cover.facts.image_id)
    by_split: dict[str, list[Cover]] = {split: [] for split in SPLITS}
    for cover in _with_groups(ordered):
        by_split[assign_split(cover.group, splits)].append(cover)
    shards: list[Shard] = []
    for split, members in by_split.items():
        count = max(1, -(-len(members) // examples_per_shard))
        shards += [
            Shard(split, index, count, tuple(members[index::count])) for index in range(count)
        ]
    return shards


def summarise(
    source: str,
    rows_given: int,
    quarantined: Sequence[QuarantinedRow],
    reports: Sequence[ShardReport],
    schema: LabelSchema,
) -> IngestSummary:
    """Adds up what was written and what was set aside."""
    examples: Counter[str] = Counter()
    group_sizes: Counter[str] = Counter()
    genres: dict[str, dict[str, int]] = {split: dict.fromkeys(schema.genres, 0) for split in SPLITS}
    for report in reports:
        examples[report.split] += report.examples
        group_sizes.update(report.group_sizes)
        for genre, number in report.genres.items():
            genres[report.split][genre] += number
    duplicates = [size for size in group_sizes.values() if size > 1]
    return IngestSummary(
        source=source,
        rows_given=rows_given,
        rows_ingested=sum(report.rows for report in reports),
        rows_quarantined=len(quarantined),
        quarantined_by_reason=count_reasons(quarantined),
        examples=examples.total(),
        examples_by_split={split: examples[split] for split in SPLITS},
        near_duplicate_groups=len(duplicates),
        near_duplicates=sum(duplicates),
        genres_by_split=genres,
    )


def sort_quarantined(rows: Iterable[QuarantinedRow]) -> list[QuarantinedRow]:
    """Orders by source, line, path."""
    return sorted(rows, key=lambda row: (row.source, row.line or 0, row.path))


class _InspectRows(beam.DoFn):
    def __init__(self, directory: Path, schema: LabelSchema, total: int) -> None:
        self._directory = directory
        self._schema = schema
        self._total = total

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS)

    def process(self, rows: Sequence[Row]) -> Iterator[Cover | beam.pvalue.TaggedOutput]:
        def inspect(row: Row) -> Cover | QuarantinedRow:
            return inspect_row(row, self._directory, self._schema)

        for result in self._pool.map(inspect, rows):
            if isinstance(result, Cover):
                yield result
            else:
                yield beam.pvalue.TaggedOutput(_QUARANTINED, result)
        progress.advance(STAGE, len(rows), self._total)

    def teardown(self) -> None:
        self._pool.shutdown()


def _match_genres(names: Sequence[str], schema: LabelSchema) -> tuple[str, ...]:
    known = ", ".join(schema.genres)
    if not names:
        raise ImageRejected(
            Reason.NO_GENRE, f"Expected at least one of the genres {known}. Received: none."
        )
    matched = {name: schema.match(name) for name in names}
    unknown = [name for name, genre in matched.items() if genre is None]
    if unknown:
        raise ImageRejected(
            Reason.UNKNOWN_GENRE,
            f"Expected genres among {known}. Received: {GENRE_SEPARATOR.join(unknown)}.",
        )
    return tuple(sorted({genre for genre in matched.values() if genre is not None}))


def _read_inside(directory: Path, path: str) -> bytes:
    root = directory.resolve()
    try:
        file = (root / path).resolve()
        inside = bool(path) and file.is_relative_to(root)
    except (OSError, ValueError, RuntimeError) as error:
        raise ImageRejected(
            Reason.OUTSIDE_DATA_DIRECTORY, f"Expected a path. Received: {path!r}: {error}."
        ) from error
    if not inside:
        raise ImageRejected(
            Reason.OUTSIDE_DATA_DIRECTORY,
            f"Expected a file inside the data directory. Received: {path!r}.",
        )
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ImageRejected(Reason.UNREADABLE_FILE, "Expected a regular file.")
        return file.read_bytes()
    except FileNotFoundError as error:
        raise ImageRejected(
            Reason.MISSING_FILE, "Expected a file. Received: nothing at that path."
        ) from error
    except OSError as error:
        raise ImageRejected(
            Reason.UNREADABLE_FILE, f"Expected a readable file. Received: {error.strerror}."
        ) from error


def _with_groups(covers: Sequence[Cover]) -> Iterator[Cover]:
    facts: list[ImageFacts] = [cover.facts for cover in covers]
    numbers = group_near_duplicates(
        [fact.coarse_hash for fact in facts], [fact.fine_hash for fact in facts]
    )
    names: dict[int, str] = {}
    for cover, number in zip(covers, numbers, strict=True):
        # Covers are ordered by id: a group is named after its first member.
        yield dataclasses.replace(cover, group=names.setdefault(int(number), cover.facts.image_id))


def _write_shard(
    shard: Shard, directory: Path, schema: LabelSchema, split_directories: Mapping[str, str]
) -> ShardReport:
    import tensorflow as tf

    changed: list[str] = []
    genres: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    written = rows = 0
    path = Path(split_directories[shard.split]) / shard.file_name
    with tf.io.TFRecordWriter(str(path)) as out:
        for cover in shard.covers:
            try:
                example = cover_to_example(cover, _read_inside(directory, cover.paths[0]), schema)
            except (ImageRejected, ValueError):
                changed.append(cover.paths[0])
                continue
            out.write(example.SerializeToString(deterministic=True))
            written += 1
            rows += cover.rows
            genres.update(cover.genres)
            groups[cover.group] += 1
    return ShardReport(shard.split, written, rows, dict(genres), dict(groups), tuple(changed))


def save(value: object, path: Path) -> None:
    """Hands a single value from the pipeline to the process that runs it."""
    path.write_bytes(pickle.dumps(value))


def load(path: Path) -> Any:
    """Reads what `save` wrote."""
    return pickle.loads(path.read_bytes())
