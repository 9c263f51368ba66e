"""Covers to examples, for benchmarks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import apache_beam as beam
import tensorflow  # noqa: F401  # Imported before anything is measured.
from tfx.types import standard_artifacts

from components.contracts import nodes
from components.contracts.artifacts import Quarantine
from components.contracts.files import split_pattern
from components.contracts.label_schema import SCHEMA_FILE_NAME
from components.contracts.quarantine import read_summary
from components.cover_example_gen.component import CoverExampleGen
from components.cover_example_gen.config import IngestConfig
from components.support.compat import LOCAL_BEAM_ARGS


def ingest_covers(
    data: Path,
    folder: Path,
    schema: str,
    config: IngestConfig,
    beam_args: Sequence[str] = LOCAL_BEAM_ARGS,
) -> int:
    """Ingests covers as the pipeline does and returns the number of rows given.

    Args:
        data: a CSV manifest or a folder.
        folder: receives `schema`, `examples` and `quarantine`; exists.
        schema: the label schema in text format.
        config: how to ingest.
        beam_args: which engine works, and how.
    """
    artifacts = {
        nodes.SCHEMA: standard_artifacts.Schema(),
        nodes.EXAMPLES: standard_artifacts.Examples(),
        nodes.QUARANTINE: Quarantine(),
    }
    for name, artifact in artifacts.items():
        artifact.uri = str(folder / name)
        (folder / name).mkdir()
    schema_file(folder).write_text(schema, encoding="utf-8")
    CoverExampleGen.test_call(
        **artifacts,
        data=str(data),
        config=config.model_dump_json(),
        data_fingerprint="",
        code_fingerprint="",
        beam_pipeline=beam.Pipeline(argv=list(beam_args)),
    )
    return read_summary(folder / nodes.QUARANTINE).rows_given


def schema_file(folder: Path) -> Path:
    """Returns the label schema that `ingest_covers` copied."""
    return folder / nodes.SCHEMA / SCHEMA_FILE_NAME


def patterns(folder: Path, split: str) -> list[str]:
    """Returns the file patterns of a split that `ingest_covers` wrote."""
    return [split_pattern(folder / nodes.EXAMPLES, split)]
