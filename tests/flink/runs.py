"""Runs of the whole pipeline, in this process and on an engine, and how they differ."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from artifacts import newest, predictions, read_json, records, statistics

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "containers" / "tiny.yaml"
COMMAND = (sys.executable, "-W", "ignore", "-m", "pipeline")
SECONDS = 900.0
_SECONDS_UNTIL_INTERRUPTED = 300.0
STAGES = ("CoverExampleGen", "StatisticsGen", "BatchInference", "Evaluator")
_ACCOUNTS = ("quarantine.jsonl", "contradictions.jsonl", "summary.json")


def covers(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    command = [*COMMAND, *map(str, arguments)]
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


def interrupt(
    data: Path, root: Path, engine: Mapping[str, Any], is_at_work: Callable[[], bool]
) -> str:
    """Runs the pipeline, ends it by SIGTERM as soon as its job is at work; returns what it said."""
    options = ["--config", CONFIG, "--data", data, "--pipeline-root", root]
    with subprocess.Popen(
        [*COMMAND, "run", *map(str, options), "--set", f"engine={json.dumps(engine)}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    ) as running:
        try:
            end = time.monotonic() + _SECONDS_UNTIL_INTERRUPTED
            while not is_at_work():
                assert running.poll() is None, running.communicate()
                assert time.monotonic() < end
                time.sleep(0.1)
            running.send_signal(signal.SIGTERM)
            said, _ = running.communicate(timeout=_SECONDS_UNTIL_INTERRUPTED)
        finally:
            running.kill()
    assert running.returncode == 130, said
    assert "Traceback" not in said
    return said


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
