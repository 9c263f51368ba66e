"""Runs of the whole pipeline, in this process and on an engine, and how they differ."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from artifacts import newest, predictions, read_json, statistics

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "containers" / "tiny.yaml"
SECONDS = 900.0
STAGES = ("CoverExampleGen", "StatisticsGen", "BatchInference", "Evaluator")
ACCOUNTS = ("quarantine.jsonl", "contradictions.jsonl", "summary.json")
"""Files of the artifact `quarantine`."""

NUMBERS: Mapping[str, tuple[str, Callable[[Path], Any]]] = {
    "StatisticsGen": ("statistics", statistics),
    "BatchInference": ("predictions", predictions),
    "Evaluator": ("evaluation", lambda folder: read_json(folder / "record.json")),
}
"""Stage -> its artifact, and what reads that."""


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


def accounts(root: Path) -> dict[str, bytes]:
    """Returns the content of each of `ACCOUNTS`."""
    folder = newest(root, "CoverExampleGen", "quarantine")
    return {name: (folder / name).read_bytes() for name in ACCOUNTS}


def numbers(root: Path, stage: str) -> Any:
    """Returns what one of the stages of `NUMBERS` found."""
    key, read = NUMBERS[stage]
    return read(newest(root, stage, key))
