"""CoverExampleGen: covers and genre labels in, split Examples and a Quarantine out."""

import contextlib
import gc
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from components.contracts.artifacts import Quarantine
from components.contracts.examples_account import write_account
from components.contracts.label_schema import DRIFT_SPLITS, SCHEMA_FILE_NAME, SPLITS, LabelSchema
from components.contracts.nodes import COVER_EXAMPLE_GEN
from components.contracts.quarantine import (
    UNLISTED_FILE_NAME,
    IngestSummary,
    write_contradictions,
    write_quarantine,
    write_straddling,
    write_summary,
)
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.remote import local_data
from components.cover_example_gen.spans import select_spans
from components.support import progress
from components.support.errors import CoversError, DataError

if TYPE_CHECKING:
    from components.cover_example_gen.shards import ShardReport


@component(use_beam=True)
def CoverExampleGen(
    schema: InputArtifact[standard_artifacts.Schema],
    examples: OutputArtifact[standard_artifacts.Examples],
    quarantine: OutputArtifact[Quarantine],
    data: Parameter[str],
    config: Parameter[str],
    data_fingerprint: Parameter[str],
    code_fingerprint: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Ingests covers: one example per distinct cover, one quarantine record per rejected row.

    Args:
        schema: the label schema.
        examples: receives one directory of TFRecord shards per split; for data in spans also the
            drift splits, which have no images.
        quarantine: receives the rejected rows and the counts of all rows.
        data: a manifest, a folder, or a folder of spans; see `sources` and `spans`. Or its
            URL in an object store.
        config: an `IngestConfig` as JSON.
        data_fingerprint: hash of the input's content; a cache key only.
        code_fingerprint: hash of this folder's code; a cache key only.
        beam_pipeline: set by TFX.

    Raises:
        ConfigError: there is nothing at `data`, the chosen spans are not there, or a decision about
            labels cannot be followed.
        DataError: there are no rows, or files changed during ingest.
        DeploymentError: an object store refused or failed.
    """
    del data_fingerprint, code_fingerprint
    options = IngestConfig.from_json(config)
    labels = LabelSchema.from_file(Path(schema.uri) / SCHEMA_FILE_NAME)
    if options.relabel:
        spelled = options.relabel.spelled_as_in(labels)
        options = options.model_copy(update={"relabel": spelled})
    with local_data(data) as local, _imports_out_of_garbage_collection():
        _ingest(local, labels, options, examples, Path(quarantine.uri), beam_pipeline)


def _ingest(
    data: Path,
    labels: LabelSchema,
    options: IngestConfig,
    examples: standard_artifacts.Examples,
    quarantine: Path,
    beam_pipeline: beam.Pipeline,
) -> None:
    from components.cover_example_gen import ingest  # brings Beam and SciPy
    from components.cover_example_gen.summary import summarise

    selection = select_spans(data, options)
    splits = [*SPLITS, *(DRIFT_SPLITS if selection.previous else ())]
    examples.split_names = artifact_utils.encode_split_names(splits)
    if selection.taken[-1].number is not None:
        examples.span = selection.taken[-1].number
    split_directories = {split: artifact_utils.get_split_uri([examples], split) for split in splits}
    for directory in split_directories.values():
        Path(directory).mkdir(parents=True, exist_ok=True)

    quarantine.mkdir(parents=True, exist_ok=True)
    is_here = ingest.runs_in_this_process(beam_pipeline)
    # Beside the results, where the workers of an engine on other machines look for them as well;
    # images that a manifest holds are there only if they must be.
    with (
        _temporary_folder(quarantine) as scratch,
        _temporary_folder(None if is_here else quarantine) as images,
    ):
        results = Path(scratch, "results")
        results.mkdir()
        listings = [
            span.source.listing(Path(images, str(number)), _rows_read)
            for number, span in enumerate(selection.spans)
        ]
        rows = [listing.rows for listing in listings]
        progress.start(COVER_EXAMPLE_GEN, sum(map(len, rows)), "covers checked")
        with beam_pipeline as pipeline:
            ingest.build_ingest(
                pipeline,
                rows,
                selection=selection,
                schema=labels,
                config=options,
                split_directories=split_directories,
                results=results,
                divides_search=not is_here,
            )
        planned, written = ingest.load_results(results)

    _check_unchanged(written, data)
    taken = rows[len(selection.history) :]
    unlisted = [
        file
        for span, given in zip(selection.taken, taken, strict=True)
        for file in span.source.unlisted_files(given)
    ]
    clutter = [listing.clutter for listing in listings[len(selection.history) :]]
    given = sum(map(len, taken))
    summary = summarise(selection, given, planned, written, labels, unlisted, clutter)
    _check_account(summary)
    write_account(Path(examples.uri), [report.written for report in written])
    write_quarantine(quarantine, planned.quarantined)
    write_quarantine(quarantine, unlisted, UNLISTED_FILE_NAME)
    write_straddling(quarantine, planned.straddling)
    write_contradictions(quarantine, planned.contradictions)
    write_summary(quarantine, summary)


def _temporary_folder(beside: Path | None) -> tempfile.TemporaryDirectory[str]:
    # The workers of an engine may still be writing when a run is interrupted.
    return tempfile.TemporaryDirectory(prefix=".scratch-", dir=beside, ignore_cleanup_errors=True)


def _rows_read(rows: int) -> None:
    progress.report(COVER_EXAMPLE_GEN, rows, 0, f"{rows:,} rows read")


@contextlib.contextmanager
def _imports_out_of_garbage_collection() -> Iterator[None]:
    # TensorFlow and TFX hold millions of objects; scanning them again and again while rows are
    # made took a fifth of the time of ingest.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _check_unchanged(reports: Sequence["ShardReport"], data: Path) -> None:
    changed = [path for report in reports for path in report.changed]
    if changed:
        raise DataError(
            f"Expected files that do not change during ingest. Received: {len(changed)} that "
            f"changed, the first {changed[0]!r}. Run again when nothing is writing to {data}."
        )


def _check_account(summary: IngestSummary) -> None:
    accounted = summary.rows_ingested + summary.rows_quarantined
    if accounted != summary.rows_given:
        raise CoversError(
            f"Expected every row to be ingested or quarantined. Received: {summary.rows_given} "
            f"rows given, {summary.rows_ingested} ingested and {summary.rows_quarantined} "
            "quarantined. The Beam runner lost rows; nothing was published."
        )
