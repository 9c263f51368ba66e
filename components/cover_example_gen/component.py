"""CoverExampleGen: covers and genre labels in, split Examples and a Quarantine out."""

import tempfile
from pathlib import Path

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from components import progress
from components.artifacts import Quarantine
from components.cover_example_gen import ingest
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.sources import find_source
from components.errors import CoversError, DataError
from components.label_schema import SCHEMA_FILE_NAME, SPLITS, LabelSchema
from components.quarantine import IngestSummary, write_quarantine, write_summary


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
    """Ingests covers: one example per distinct cover, one quarantine record per refused row.

    Args:
        schema: the label schema.
        examples: receives one directory of TFRecord shards per split.
        quarantine: receives the refused rows and the account of all rows.
        data: a CSV manifest, or a folder; see `sources`.
        config: an `IngestConfig` as JSON.
        data_fingerprint: hash of the input's content; a cache key only.
        code_fingerprint: hash of this folder's code; a cache key only.
        beam_pipeline: set by TFX.

    Raises:
        DataError: there is no row, or files changed during ingest.
    """
    del data_fingerprint, code_fingerprint
    options = IngestConfig.model_validate_json(config)
    labels = LabelSchema.from_file(Path(schema.uri) / SCHEMA_FILE_NAME)
    source = find_source(data)
    rows = source.rows()
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    split_directories = {split: artifact_utils.get_split_uri([examples], split) for split in SPLITS}
    for directory in split_directories.values():
        Path(directory).mkdir(parents=True, exist_ok=True)
    progress.start(ingest.STAGE, len(rows))

    with tempfile.TemporaryDirectory() as scratch:
        outputs = Path(scratch)
        with beam_pipeline as pipeline:
            quarantined, reports = ingest.build_ingest(
                pipeline,
                rows,
                source=source,
                schema=labels,
                splits=options.splits,
                examples_per_shard=options.examples_per_shard,
                split_directories=split_directories,
            )
            _ = quarantined | "SaveQuarantined" >> beam.Map(ingest.save, outputs / "quarantined")
            _ = reports | "SaveReports" >> beam.Map(ingest.save, outputs / "reports")
        refused = ingest.load(outputs / "quarantined")
        written = ingest.load(outputs / "reports")

    changed = [path for report in written for path in report.changed]
    if changed:
        raise DataError(
            f"Expected files that stay as they are during ingest. Received: {len(changed)} that "
            f"changed, the first {changed[0]!r}. Run again when nothing writes to {data}."
        )
    summary = ingest.summarise(source.name, len(rows), refused, written, labels)
    _check_account(summary)
    write_quarantine(Path(quarantine.uri), refused)
    write_summary(Path(quarantine.uri), summary)


def _check_account(summary: IngestSummary) -> None:
    accounted = summary.rows_ingested + summary.rows_quarantined
    if accounted != summary.rows_given:
        raise CoversError(
            f"Expected every row to be ingested or quarantined. Received: {summary.rows_given} "
            f"rows given, {summary.rows_ingested} ingested and {summary.rows_quarantined} "
            "quarantined. Rows were lost by the Beam runner; nothing was published."
        )
