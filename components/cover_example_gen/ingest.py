"""The Beam pipeline of ingest: rows in, TFRecord shards and a quarantine out.

Image bytes never travel through Beam: rows become small facts, the facts of all rows are planned
into shards in one place, and each shard reads its files again while it is written. Beam's elements
are numbers of batches; what they are is in files that all workers see. Each worker
keeps its cores busy with threads, as decoding and reading release Python's lock. Nothing depends
on the order in which workers finish, or on whether a part is done twice, as after a worker's
death: files get their names when they are whole, and are the same each time. There are few
transforms, since each costs Beam 10 ms.

On an engine the search for near-duplicates is divided among the workers as well. The plan is still
made in one process, which holds the facts of all rows; docs/scale.md says how much that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from components.contracts.label_schema import LabelSchema
from components.contracts.nodes import COVER_EXAMPLE_GEN
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.divided_search import (
    ARRIVALS,
    DividedSearch,
    as_arrivals,
    found_pairs,
)
from components.cover_example_gen.exchange import load, save, save_array, whole_file
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.plan import Plan, Shard, make_plan, plan_shards
from components.cover_example_gen.rows import InspectedRow, inspect_rows
from components.cover_example_gen.shards import ShardReport, write_shard
from components.cover_example_gen.sources import Row
from components.cover_example_gen.spans import Selection
from components.support import progress
from components.support.errors import ConfigError

_ROWS_PER_BATCH = 4096
_ROWS_PER_BATCH_OF_MANY_WORKERS = 512
_ROWS_PER_TASK = 32
_SHARDS_PER_THREAD = 4
_ROWS = ".rows"
_INSPECTED = ".inspected"
_PLAN = "plan"
_SHARDS = ".shards"
_REPORTS = ".reports"

Numbered = tuple[None, int]  # what all numbers are gathered under, and the number of a batch


def build_ingest(
    pipeline: beam.Pipeline,
    rows: Sequence[Sequence[Row]],
    *,
    selection: Selection,
    schema: LabelSchema,
    config: IngestConfig,
    split_directories: Mapping[str, str],
    results: Path,
    divides_search: bool = False,
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
            `load_results` reads when it has run; all workers see it.
        divides_search: whether near-duplicates are searched for by all workers, not by the one
            that plans: worth it where there are several.
    """
    size = _ROWS_PER_BATCH_OF_MANY_WORKERS if divides_search else _ROWS_PER_BATCH
    inspected = (
        pipeline
        | "Rows" >> beam.Create(_save_batches(rows, results, size), reshuffle=False)
        | "SpreadRows" >> beam.GroupByKey()
        | "Inspect" >> beam.ParDo(_InspectRows(selection, schema, config, results, divides_search))
        | "AllRows" >> beam.GroupByKey()
    )
    if divides_search:
        inspected = inspected | "SearchNearDuplicates" >> DividedSearch(results)
    _ = (
        inspected
        | "Plan" >> beam.ParDo(_PlanShards(selection, config, results, divides_search))
        | "SpreadShards" >> beam.GroupByKey()
        | "WriteShards"
        >> beam.ParDo(_WriteShards(schema, config, dict(split_directories), results))
    )


def runs_in_this_process(pipeline: beam.Pipeline) -> bool:
    """Whether no engine but this process, or its children, runs a pipeline."""
    return isinstance(pipeline.runner, FnApiRunner)


def load_results(results: Path) -> tuple[Plan, list[ShardReport]]:
    """Returns the plan, without its covers, and what was written.

    Raises:
        ConfigError: there is no plan, as the configuration is wrong.
    """
    plan = load(results / _PLAN)
    if isinstance(plan, ConfigError):
        raise plan
    reports = [report for path in sorted(results.glob(f"*{_REPORTS}")) for report in load(path)]
    return plan, reports


def _save_batches(
    rows: Sequence[Sequence[Row]], results: Path, size: int
) -> list[tuple[int, Path]]:
    """Saves (position of the span, some of its rows) in files, and returns them numbered."""
    batches = [
        (delivery, given[start : start + size])
        for delivery, given in enumerate(rows)
        for start in range(0, len(given), size)
    ]
    numbered = [(number, results / f"{number}{_ROWS}") for number in range(len(batches))]
    for (_, path), batch in zip(numbered, batches, strict=True):
        save(batch, path)
    return numbered


class _InspectRows(beam.DoFn):
    """Inspects batches of rows, and saves what it finds; the key is the same for all."""

    def __init__(
        self,
        selection: Selection,
        schema: LabelSchema,
        config: IngestConfig,
        results: Path,
        saves_arrivals: bool,
    ) -> None:
        self._selection = selection
        self._results = results
        self._saves_arrivals = saves_arrivals
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

    def process(self, numbered: tuple[int, Iterable[Path]]) -> Iterator[Numbered]:
        number, [path] = numbered
        inspected = self._inspect(*load(path))
        if self._saves_arrivals:
            save_array(as_arrivals(inspected), self._results / f"{number}{ARRIVALS}")
        save(inspected, self._results / f"{number}{_INSPECTED}")
        yield None, number

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

    def __init__(
        self, selection: Selection, config: IngestConfig, results: Path, is_searched: bool
    ) -> None:
        self._selection = selection
        self._config = config
        self._results = results
        self._is_searched = is_searched

    def process(self, numbers: tuple[None, Iterable[int]]) -> Iterator[tuple[int, Path]]:
        pairs = found_pairs(self._results, numbers[1]) if self._is_searched else None
        files = sorted(self._results.glob(f"*{_INSPECTED}"))
        rows = [row for file in files for row in load(file)]
        try:
            plan = make_plan(rows, self._selection, self._config, pairs)
        except ConfigError as error:
            save(error, self._results / _PLAN)  # Beam would wrap it in an error of its own
            return
        save(plan.without_covers(), self._results / _PLAN)
        progress.start(COVER_EXAMPLE_GEN, sum(map(len, plan.covers.values())), "covers written")
        shards = plan_shards(plan, self._config)
        size = _SHARDS_PER_THREAD * self._config.threads
        for start in range(0, len(shards), size):
            group = self._results / f"{start}{_SHARDS}"
            save(shards[start : start + size], group)
            yield start, group


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

    def process(self, numbered: tuple[int, Iterable[Path]]) -> None:
        def advance(covers: int) -> None:
            progress.advance(COVER_EXAMPLE_GEN, covers)

        def write(shard: Shard) -> ShardReport:
            path = Path(self._directories[shard.split]) / shard.file_name
            with whole_file(path, self._results) as partial:
                return write_shard(shard, self._schema, partial, self._background, advance)

        number, [group] = numbered
        shards: list[Shard] = load(group)
        save(list(self._pool.map(write, shards)), self._results / f"{number}{_REPORTS}")

    def teardown(self) -> None:
        self._pool.shutdown()
