"""A run that is interrupted takes its job off the cluster."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cluster import Cluster
from runs import covers, interrupt

SECONDS = 300.0

pytestmark = pytest.mark.slow


def _states(cluster: Cluster) -> dict[str, str]:
    return {job["jid"]: job["state"] for job in cluster.ask("jobs/overview")["jobs"]}


def test_an_interrupted_run_cancels_its_job(cluster: Cluster, tmp_path: Path) -> None:
    data = tmp_path / "covers"
    assert covers("sample", data).returncode == 0
    before = _states(cluster)
    engine = cluster.options(parallelism=1)
    interrupt(data, tmp_path / "root", engine, lambda: "RUNNING" in _states(cluster).values())
    (job,) = set(_states(cluster)) - set(before)
    end = time.monotonic() + SECONDS
    while (state := _states(cluster)[job]) != "CANCELED" and time.monotonic() < end:
        time.sleep(0.2)
    assert state == "CANCELED"
