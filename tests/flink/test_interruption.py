"""A run that is interrupted takes its job off the cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "containers" / "tiny.yaml"
COMMAND = [sys.executable, "-W", "ignore", "-m", "pipeline"]
SECONDS = 300.0

pytestmark = pytest.mark.slow


def _states(cluster: Cluster) -> dict[str, str]:
    return {job["jid"]: job["state"] for job in cluster.ask("jobs/overview")["jobs"]}


def _wait_until(happened: Callable[[], bool], run: subprocess.Popen[str]) -> None:
    end = time.monotonic() + SECONDS
    while not happened():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end
        time.sleep(0.2)


def test_an_interrupted_run_cancels_its_job(cluster: Cluster, tmp_path: Path) -> None:
    data = tmp_path / "covers"
    subprocess.run([*COMMAND, "sample", str(data)], check=True, capture_output=True, cwd=ROOT)
    before = _states(cluster)
    engine = json.dumps(cluster.options(parallelism=1))
    options = ["--config", CONFIG, "--data", data, "--pipeline-root", tmp_path / "root"]
    run = subprocess.Popen(
        [*COMMAND, "run", *map(str, options), "--set", f"engine={engine}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    try:
        _wait_until(lambda: "RUNNING" in _states(cluster).values(), run)
        (job,) = set(_states(cluster)) - set(before)
        run.send_signal(signal.SIGTERM)
        said, _ = run.communicate(timeout=SECONDS)
    finally:
        run.kill()
    assert run.returncode == 130, said
    assert "Traceback" not in said
    end = time.monotonic() + SECONDS
    while (state := _states(cluster)[job]) != "CANCELED" and time.monotonic() < end:
        time.sleep(0.2)
    assert state == "CANCELED"
