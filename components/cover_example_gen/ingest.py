"""The Beam pipeline of ingest: rows in, TFRecord shards and a quarantine out.

Image bytes never travel through Beam: rows become small facts, the facts of all rows are planned
into shards in one place, and each shard reads its files again while it is written. Beam's elements
are batches, pickled here, because Beam would encode and weigh each row by itself; each worker
keeps its cores busy with threads, as decoding and reading release Python's lock. Nothing depends
on the order in which workers finish.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam

from components import progress
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.plan import Plan, Shard, make_plan, plan_shards
from components.cover_example_gen.rows import InspectedRow, inspect_row
from components.cover_example_gen.shards import ShardReport, write_shard
from components.cover_example_gen.sources import Row
from components.cover_example_gen.spans import Selection
from components.label_schema import DRIFT_SPLITS, SPLITS, LabelSchema
from components.quarantine import IngestSummary, QuarantinedRow, count_reasons

STAGE = "CoverExampleGen"
_SHARDS = "shards"
_ROWS_PER_BATCH = 512
_ROWS_PER_TASK = 16

Batch = bytes  # pickled: position of the span, some of its rows
InspectedBatch = bytes  # pickled: list of `InspectedRow`
ShardGroup = bytes  # pickled: list of `Shard`


def build_ingest(
    pipeline: beam.Pipeline,
    rows: Sequence[Sequence[Row]],
    *,
    selection: Selection,
    schema: LabelSchema,
    config: IngestConfig,
    split_directories: Mapping[str, str],
) -> tuple[beam.PCollection, beam.PCollection]:
    """Adds the ingest to a pipeline.

    Args:
        pipeline: the pipeline to add to.
        rows: the rows of each selected span, as given.
        selection: where the rows came from.
        schema: genres and accepted images.
        config: the ingest options.
        split_directories: split -> existing directory for its shards.

    Returns:
        A single `Plan` whose shards are left out, and a single list of `ShardReport`.
    """
    planned = (
        pipeline
        | "Rows" >> beam.Create(list(_batches(rows)))
        | "SpreadRows" >> beam.Reshuffle()
        | "Inspect" >> beam.ParDo(_InspectRows(selection, schema, config))
        | "ListRows" >> beam.combiners.ToList()
        | "Plan" >> beam.ParDo(_PlanShards(selection, config)).with_outputs(_SHARDS, main="plan")
    )
    reports = (
        planned[_SHARDS]
        | "SpreadShards" >> beam.Reshuffle()
        | "WriteShards" >> beam.ParDo(_WriteShards(schema, config, dict(split_directories)))
        | "ListReports" >> beam.combiners.ToList()
    )
    return planned["plan"], reports


def summarise(
    selection: Selection,
    rows_given: int,
    plan: Plan,
    reports: Sequence[ShardReport],
    schema: LabelSchema,
    unlisted: Sequence[QuarantinedRow],
) -> IngestSummary:
    """Adds up what was written and what was set aside."""
    examples: Counter[str] = Counter()
    group_sizes: Counter[str] = Counter()
    genres: dict[str, dict[str, int]] = {split: dict.fromkeys(schema.genres, 0) for split in SPLITS}
    for report in reports:
        examples[report.split] += report.examples
    written = [report for report in reports if report.split in SPLITS]
    for report in written:
        group_sizes.update(report.group_sizes)
        for genre, number in report.genres.items():
            genres[report.split][genre] += number
    duplicates = [size for size in group_sizes.values() if size > 1]
    numbers = tuple(span.number for span in selection.taken if span.number is not None)
    previous = selection.previous
    return IngestSummary(
        source=", ".join(span.source.name for span in selection.taken),
        rows_given=rows_given,
        rows_ingested=sum(report.rows for report in written),
        rows_quarantined=len(plan.quarantined),
        quarantined_by_reason=count_reasons(plan.quarantined),
        examples=sum(examples[split] for split in SPLITS),
        examples_by_split={split: examples[split] for split in SPLITS},
        near_duplicate_groups=len(duplicates),
        near_duplicates=sum(duplicates),
        genres_by_split=genres,
        spans=numbers,
        previous_span=previous.number if previous else None,
        drift_examples=tuple(examples[split] for split in DRIFT_SPLITS) if previous else (),
        united_labels=plan.united_labels,
        rotated=sum(report.rotated for report in written),
        unlisted_files=len(unlisted),
    )


def _batches(rows: Sequence[Sequence[Row]]) -> Iterator[Batch]:
    for delivery, given in enumerate(rows):
        for start in range(0, len(given), _ROWS_PER_BATCH):
            yield pickle.dumps((delivery, given[start : start + _ROWS_PER_BATCH]))


class _InspectRows(beam.DoFn):
    """Inspects a batch of rows."""

    def __init__(self, selection: Selection, schema: LabelSchema, config: IngestConfig) -> None:
        self._selection = selection
        self._schema = schema
        self._threads = config.threads

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(self._threads)
        self._directories = [
            DataDirectory(span.source.directory, self._schema.largest_file)
            for span in self._selection.spans
        ]

    def process(self, batch: Batch) -> Iterator[InspectedBatch]:
        delivery, rows = pickle.loads(batch)

        def inspect(part: Sequence[Row]) -> list[InspectedRow]:
            directory = self._directories[delivery]
            return [inspect_row(row, delivery, directory, self._schema) for row in part]

        parts = [rows[at : at + _ROWS_PER_TASK] for at in range(0, len(rows), _ROWS_PER_TASK)]
        yield pickle.dumps([row for part in self._pool.map(inspect, parts) for row in part])
        progress.advance(STAGE, len(rows))

    def teardown(self) -> None:
        self._pool.shutdown()


class _PlanShards(beam.DoFn):
    """Turns the list of all batches into groups of shards, and the plan without them."""

    def __init__(self, selection: Selection, config: IngestConfig) -> None:
        self._selection = selection
        self._config = config

    def process(
        self, batches: Iterable[InspectedBatch]
    ) -> Iterator[Plan | beam.pvalue.TaggedOutput]:
        rows = [row for batch in batches for row in pickle.loads(batch)]
        plan = make_plan(rows, self._selection, self._config)
        shards = plan_shards(plan, self._config)
        progress.start(STAGE, sum(map(len, plan.covers.values())), "covers written")
        for start in range(0, len(shards), self._config.threads):
            group = shards[start : start + self._config.threads]
            yield beam.pvalue.TaggedOutput(_SHARDS, pickle.dumps(group))
        yield plan.without_covers()


class _WriteShards(beam.DoFn):
    """Writes a group of shards, each in a thread of its own."""

    def __init__(
        self, schema: LabelSchema, config: IngestConfig, directories: dict[str, str]
    ) -> None:
        self._schema = schema
        self._threads = config.threads
        self._directories = directories

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(self._threads)

    def process(self, group: ShardGroup) -> Iterator[ShardReport]:
        def advance(covers: int) -> None:
            progress.advance(STAGE, covers)

        def write(shard: Shard) -> ShardReport:
            return write_shard(shard, self._schema, self._directories, advance)

        yield from self._pool.map(write, pickle.loads(group))

    def teardown(self) -> None:
        self._pool.shutdown()


def save(value: object, path: Path) -> None:
    """Hands a single value from the pipeline to the process that runs it."""
    path.write_bytes(pickle.dumps(value))


def load(path: Path) -> Any:
    """Reads what `save` wrote."""
    return pickle.loads(path.read_bytes())
