"""The Beam pipeline of ingest: rows in, TFRecord shards and a quarantine out.

Image bytes never travel through Beam: rows become small facts, the facts of all rows are planned
into shards in one place, and each shard reads its files again while it is written. Beam's elements
are batches, pickled here, because Beam would encode and weigh each row by itself; each worker
keeps its cores busy with threads, as decoding and reading release Python's lock. Nothing depends
on the order in which workers finish. There are few transforms, since each costs Beam 10 ms, and
what they take and give is in small files where Beam would only carry it.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam

from components.contracts.label_schema import DRIFT_SPLITS, SPLITS, LabelSchema
from components.contracts.nodes import COVER_EXAMPLE_GEN
from components.contracts.quarantine import (
    IngestSummary,
    QuarantinedRow,
    Reason,
    count_reasons,
)
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.conversion import CONVERTIBLE_FORMATS
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.plan import Plan, Shard, make_plan, plan_shards
from components.cover_example_gen.rows import InspectedRow, inspect_rows
from components.cover_example_gen.shards import ShardReport, write_shard
from components.cover_example_gen.sources import Row
from components.cover_example_gen.spans import Selection
from components.support import progress
from components.support.errors import ConfigError

_ROWS_PER_BATCH = 4096
_ROWS_PER_TASK = 32
_SHARDS_PER_THREAD = 4
_ROWS = ".rows"
_PLAN = "plan"
_REPORTS = ".reports"

InspectedBatch = bytes  # pickled: list of `InspectedRow`
ShardGroup = bytes  # pickled: list of `Shard`, which are written at the same time


def build_ingest(
    pipeline: beam.Pipeline,
    rows: Sequence[Sequence[Row]],
    *,
    selection: Selection,
    schema: LabelSchema,
    config: IngestConfig,
    split_directories: Mapping[str, str],
    results: Path,
) -> None:
    """Adds the ingest to a pipeline.

    Args:
        pipeline: the pipeline to add to.
        rows: the rows of each selected span, as given.
        selection: where the rows came from.
        schema: genres and accepted images.
        config: the ingest options.
        split_directories: split -> existing directory for its shards.
        results: existing directory for the rows, which the pipeline reads, and for what
            `load_results` reads when it has run.
    """
    _ = (
        pipeline
        | "Rows" >> beam.Create(_save_batches(rows, results), reshuffle=False)
        | "SpreadRows" >> beam.GroupByKey()
        | "Inspect" >> beam.ParDo(_InspectRows(selection, schema, config))
        | "AllRows" >> beam.GroupByKey()
        | "Plan" >> beam.ParDo(_PlanShards(selection, config, results))
        | "SpreadShards" >> beam.GroupByKey()
        | "WriteShards"
        >> beam.ParDo(_WriteShards(schema, config, dict(split_directories), results))
    )


def load_results(results: Path) -> tuple[Plan, list[ShardReport]]:
    """Returns the plan, without its covers, and what was written.

    Raises:
        ConfigError: there is no plan, as the configuration is wrong.
    """
    plan = _load(results / _PLAN)
    if isinstance(plan, ConfigError):
        raise plan
    reports = [report for path in sorted(results.glob(f"*{_REPORTS}")) for report in _load(path)]
    return plan, reports


def summarise(
    selection: Selection,
    rows_given: int,
    plan: Plan,
    reports: Sequence[ShardReport],
    schema: LabelSchema,
    unlisted: Sequence[QuarantinedRow],
    clutter: Iterable[Mapping[str, int]],
) -> IngestSummary:
    """Adds up what was written and what was set aside."""
    examples: Counter[str] = Counter()
    group_sizes: Counter[str] = Counter()
    genres: dict[str, dict[str, int]] = {split: dict.fromkeys(schema.genres, 0) for split in SPLITS}
    for report in reports:
        examples[report.written.split] += report.written.examples
    written = [report for report in reports if report.written.split in SPLITS]
    for report in written:
        group_sizes.update(report.group_sizes)
        for genre, number in report.genres.items():
            genres[report.written.split][genre] += number
    duplicates = [size for size in group_sizes.values() if size > 1]
    numbers = tuple(span.number for span in selection.taken if span.number is not None)
    previous = selection.previous
    conversions = _added(report.converted for report in written)
    foreign = CONVERTIBLE_FORMATS
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
        relabelled=plan.relabelled,
        converted={kind: count for kind, count in conversions.items() if kind in foreign},
        corrected={kind: count for kind, count in conversions.items() if kind not in foreign},
        imperfect=sum(report.imperfect for report in written),
        contradicting_pairs=dict(Counter(pair.outcome for pair in plan.contradictions)),
        placeholders=plan.placeholders,
        without_genre=sum(report.without_genre for report in written),
        unreadable_folders=tuple(
            row.path for row in plan.quarantined if row.reason == Reason.UNREADABLE_FOLDER.value
        ),
        unlisted_files=len(unlisted),
        clutter=_added(clutter),
        given_splits=plan.given_splits,
        drawn_from_train=plan.drawn_from_train,
        straddling=_straddling(plan),
        groups_by_genre=dict(plan.groups_by_genre),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())


def _straddling(plan: Plan) -> dict[str, int]:
    ordered = [sorted(pair.splits, key=SPLITS.index) for pair in plan.straddling]
    return dict(Counter(" and ".join(splits) for splits in ordered).most_common())


def _save_batches(rows: Sequence[Sequence[Row]], results: Path) -> list[tuple[int, Path]]:
    """Saves (position of the span, some of its rows) in files, and returns them numbered.

    Beam compresses what a pipeline is made from, twice for each transform: 0.3 s for 3,751 rows.
    """
    batches = [
        (delivery, given[start : start + _ROWS_PER_BATCH])
        for delivery, given in enumerate(rows)
        for start in range(0, len(given), _ROWS_PER_BATCH)
    ]
    numbered = [(number, results / f"{number}{_ROWS}") for number in range(len(batches))]
    for (_, path), batch in zip(numbered, batches, strict=True):
        _save(batch, path)
    return numbered


class _InspectRows(beam.DoFn):
    """Inspects a batch of rows; the key is the same for all."""

    def __init__(self, selection: Selection, schema: LabelSchema, config: IngestConfig) -> None:
        self._selection = selection
        self._schema = schema
        self._threads = config.threads
        self._allow_no_genre = config.allow_no_genre
        self._background = config.background

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(self._threads)
        self._directories = [
            DataDirectory(span.source.directory, self._schema.largest_file)
            for span in self._selection.spans
        ]

    def process(
        self, numbered: tuple[int, Iterable[Path]]
    ) -> Iterator[tuple[None, InspectedBatch]]:
        for path in numbered[1]:
            yield None, pickle.dumps(self._inspect(*_load(path)))

    def _inspect(self, delivery: int, rows: Sequence[Row]) -> list[InspectedRow]:
        def inspect(part: Sequence[Row]) -> list[InspectedRow]:
            directory = self._directories[delivery]
            return list(
                inspect_rows(
                    part,
                    delivery,
                    directory,
                    self._schema,
                    background=self._background,
                    allow_no_genre=self._allow_no_genre,
                )
            )

        inspected: list[InspectedRow] = []
        parts = [rows[at : at + _ROWS_PER_TASK] for at in range(0, len(rows), _ROWS_PER_TASK)]
        for part in self._pool.map(inspect, parts):
            inspected += part
            progress.advance(COVER_EXAMPLE_GEN, len(part))
        return inspected

    def teardown(self) -> None:
        self._pool.shutdown()


class _PlanShards(beam.DoFn):
    """Turns all batches into numbered groups of shards, and saves the plan without its covers."""

    def __init__(self, selection: Selection, config: IngestConfig, results: Path) -> None:
        self._selection = selection
        self._config = config
        self._results = results

    def process(
        self, batches: tuple[None, Iterable[InspectedBatch]]
    ) -> Iterator[tuple[int, ShardGroup]]:
        rows = [row for batch in batches[1] for row in pickle.loads(batch)]
        try:
            plan = make_plan(rows, self._selection, self._config)
        except ConfigError as error:
            _save(error, self._results / _PLAN)  # Beam would wrap it in an error of its own
            return
        _save(plan.without_covers(), self._results / _PLAN)
        progress.start(COVER_EXAMPLE_GEN, sum(map(len, plan.covers.values())), "covers written")
        shards = plan_shards(plan, self._config)
        size = _SHARDS_PER_THREAD * self._config.threads
        for start in range(0, len(shards), size):
            yield start, pickle.dumps(shards[start : start + size])


class _WriteShards(beam.DoFn):
    """Writes groups of shards, each shard in a thread of its own, and saves their reports."""

    def __init__(
        self,
        schema: LabelSchema,
        config: IngestConfig,
        directories: dict[str, str],
        results: Path,
    ) -> None:
        self._schema = schema
        self._threads = config.threads
        self._background = config.background
        self._directories = directories
        self._results = results

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(self._threads)

    def process(self, numbered: tuple[int, Iterable[ShardGroup]]) -> None:
        def advance(covers: int) -> None:
            progress.advance(COVER_EXAMPLE_GEN, covers)

        def write(shard: Shard) -> ShardReport:
            return write_shard(shard, self._schema, self._directories, self._background, advance)

        number, groups = numbered
        shards = [shard for group in groups for shard in pickle.loads(group)]
        _save(list(self._pool.map(write, shards)), self._results / f"{number}{_REPORTS}")

    def teardown(self) -> None:
        self._pool.shutdown()


def _save(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def _load(path: Path) -> Any:
    return pickle.loads(path.read_bytes())
