"""Runs of the whole pipeline, in this process and on an engine, and how they differ."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from artifacts import newest, predictions, read_json, records, statistics

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "containers" / "tiny.yaml"
SECONDS = 900.0
STAGES = ("CoverExampleGen", "StatisticsGen", "BatchInference", "Evaluator")
_ACCOUNTS = ("quarantine.jsonl", "contradictions.jsonl", "summary.json")


def covers(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    command = [sys.executable, "-W", "ignore", "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=SECONDS)


def sample_with_a_fault(folder: Path, number: int) -> Path:
    """Makes covers with near-duplicates, and a file that is no image; returns their folder."""
    data = folder / "sample"
    assert covers("sample", data, "--images", str(number)).returncode == 0
    manifest = data / "labels.csv"
    (data / "images" / "broken.jpg").write_bytes(b"\xff\xd8 and no more")
    manifest.write_text(f"{manifest.read_text()}images/broken.jpg,rock\n")
    return data


def run(data: Path, root: Path, engine: Mapping[str, Any] | str = "local") -> str:
    """Runs the pipeline, successfully, and returns what it said."""
    options = ["--config", CONFIG, "--data", data, "--pipeline-root", root]
    ran = covers("run", *options, "--set", f"engine={json.dumps(engine)}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def _accounts(root: Path) -> dict[str, bytes]:
    folder = newest(root, "CoverExampleGen", "quarantine")
    found = {name: (folder / name).read_bytes() for name in _ACCOUNTS}
    assert b"broken.jpg" in found["quarantine.jsonl"]
    return found


LEFT: Mapping[str, Callable[[Path], Any]] = {
    "examples": lambda root: records(newest(root, "CoverExampleGen", "examples")),
    "accounts of rows": _accounts,
    "statistics": lambda root: statistics(newest(root, "StatisticsGen", "statistics")),
    "predictions": lambda root: predictions(newest(root, "BatchInference", "predictions")),
    "evaluation": lambda root: read_json(newest(root, "Evaluator", "evaluation") / "record.json"),
}
"""What a run leaves -> what reads it, given the folder of the pipeline."""
