"""A new span through the whole pipeline: drift stops it, or is only reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.contracts.label_schema import LabelSchema
from pipeline.cli import main
from pipeline.commands.sample import write_sample

pytestmark = pytest.mark.slow

CONFIG = """
name: spans
schema: {schema}
data_gate: {{min_drift_examples: 50}}
trainer:
  image_size: 48
  epochs: 1
  early_stopping: null
  layers: [GlobalAveragePooling2D]
evaluation:
  gate:
    overall: {{macro_roc_auc: {{at_least: 0.0, tolerance: 1.0}}}}
    per_genre: {{roc_auc: {{at_least: 0.0, tolerance: 1.0}}}}
"""


def test_drift_stops_a_run_or_is_reported(
    tmp_path: Path, schema_path: Path, labels: LabelSchema
) -> None:
    (tmp_path / "spans.yaml").write_text(CONFIG.format(schema=schema_path))
    for number in (1, 2):
        span = tmp_path / "data" / f"span-{number}"
        write_sample(span, genres=labels.genres, images=150, seed=number)
    manifest = tmp_path / "data" / "span-2" / "labels.csv"
    header, *rows = manifest.read_text().splitlines()
    rows[::2] = [f"{row}|pop" for row in rows[::2]]
    manifest.write_text("\n".join([header, *rows]) + "\n")

    stopped, seen = _run(tmp_path)
    assert stopped["exit_code"] == 3
    assert stopped["stages"]["DataGate"] == "failed"
    assert stopped["stages"]["Trainer"] == "not run"
    assert stopped["ingest"]["spans"] == [2]
    assert "span 2 against 1: genres 0." in seen
    assert "feature 'genres', span 2 against span 1: High Linfty distance" in seen

    reported, _ = _run(tmp_path, "--set", "data_gate.drift=reported")
    assert reported["outcome"] == "pushed"
    assert reported["stages"]["CoverExampleGen"] == "cached"
    assert reported["ingest"]["examples"] == 150


def _run(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    command = ["run", "--json", "--config", str(folder / "spans.yaml")]
    command += ["--data", str(folder / "data"), "--pipeline-root", str(folder / "root")]
    outcome = CliRunner().invoke(main, [*command, *arguments])
    return json.loads(outcome.stdout), outcome.stderr
