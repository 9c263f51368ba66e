"""Runs ingest as TFX does, on folders that a test fills."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pandas as pd
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.contracts.artifacts import Quarantine
from components.contracts.label_schema import SPLITS
from components.contracts.quarantine import IngestSummary, read_summary
from components.cover_example_gen.component import CoverExampleGen
from components.cover_example_gen.config import IngestConfig
from components.support.compat import LOCAL_BEAM_ARGS


@dataclasses.dataclass(frozen=True)
class Ingested:
    """What one ingest left."""

    folder: Path
    summary: IngestSummary
    quarantined: pd.DataFrame
    split_names: str

    def shards(self) -> dict[str, bytes]:
        files = sorted((self.folder / "examples").rglob("*.tfrecord"))
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in files}

    def records(self, split: str) -> list[tf.train.Example]:
        files = sorted((self.folder / "examples" / f"Split-{split}").iterdir())
        assert files
        records = tf.data.TFRecordDataset([str(file) for file in files])
        return [tf.train.Example.FromString(record.numpy()) for record in records]

    def examples(self) -> dict[str, tuple[str, tf.train.Example]]:
        """Returns image/id -> (split, example)."""
        return {
            text(example, "image/id"): (split, example)
            for split in SPLITS
            for example in self.records(split)
        }

    def reasons(self) -> dict[str, str]:
        """Returns path -> reason of the quarantined rows."""
        return dict(zip(self.quarantined["path"], self.quarantined["reason"], strict=True))


def text(example: tf.train.Example, key: str) -> str:
    return example.features.feature[key].bytes_list.value[0].decode()


@pytest.fixture(scope="session")
def ingest(schema_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ingested]:
    """Returns a function that ingests data with some options."""

    def run(
        data: Path | str, *, beam_args: tuple[str, ...] = LOCAL_BEAM_ARGS, **options: Any
    ) -> Ingested:
        folder = tmp_path_factory.mktemp("ingested")
        artifacts = {
            "schema": standard_artifacts.Schema(),
            "examples": standard_artifacts.Examples(),
            "quarantine": Quarantine(),
        }
        artifacts["schema"].uri = str(schema_path.parent)
        for name in ("examples", "quarantine"):
            (folder / name).mkdir()
            artifacts[name].uri = str(folder / name)
        config = IngestConfig(**{"examples_per_shard": 20, **options})
        CoverExampleGen.test_call(
            **artifacts,
            data=str(data),
            config=config.model_dump_json(),
            data_fingerprint="",
            code_fingerprint="",
            beam_pipeline=beam.Pipeline(argv=list(beam_args)),
        )
        summary = read_summary(folder / "quarantine")
        assert summary.rows_given == summary.rows_ingested + summary.rows_quarantined
        quarantined = folder / "quarantine" / "quarantine.jsonl"
        frame = pd.read_json(quarantined, lines=True, dtype=False)
        if frame.empty:
            frame = pd.DataFrame(columns=["source", "line", "path", "reason", "detail"])
        return Ingested(folder, summary, frame, artifacts["examples"].split_names)

    return run
