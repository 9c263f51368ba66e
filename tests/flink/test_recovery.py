"""A TaskManager that dies in the middle of ingest costs no row."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster

from components.contracts.quarantine import read_summary
from pipeline.engine.config import EngineConfig

COVERS = 60
SECONDS = 300.0

pytestmark = pytest.mark.slow


def _ingest(data: Path, schema: Path, folder: Path, engine: EngineConfig) -> None:
    import apache_beam as beam
    from tfx.types import standard_artifacts

    from components.contracts.artifacts import Quarantine
    from components.cover_example_gen.component import CoverExampleGen
    from components.cover_example_gen.config import IngestConfig

    artifacts = {
        "schema": standard_artifacts.Schema(),
        "examples": standard_artifacts.Examples(),
        "quarantine": Quarantine(),
    }
    artifacts["schema"].uri = str(schema.parent)
    for name in ("examples", "quarantine"):
        artifacts[name].uri = str(folder / name)
    CoverExampleGen.test_call(
        **artifacts,
        data=str(data),
        config=IngestConfig(examples_per_shard=10).model_dump_json(),
        data_fingerprint="",
        code_fingerprint="",
        beam_pipeline=beam.Pipeline(argv=list(engine.beam_args())),
    )


def _shards(folder: Path) -> dict[str, bytes]:
    files = sorted((folder / "examples").rglob("*.tfrecord"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def _kill_when_rows_are_checked(cluster: Cluster, folder: Path, killed: list[float]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if list((folder / "quarantine").glob(".scratch-*/results/*.inspected")):
            # The other one can do the rest: it has the slots.
            cluster.task_managers[0].send_signal(signal.SIGKILL)
            killed.append(time.monotonic())
            return
        time.sleep(0.001)


def test_a_task_manager_is_killed_while_rows_are_checked(
    cluster: Cluster,
    tmp_path: Path,
    write_cover: Any,
    schema_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import components.cover_example_gen.ingest as module

    # One batch for each few rows, so that both machines have some.
    monkeypatch.setattr(module, "_ROWS_PER_BATCH_OF_MANY_WORKERS", 3)
    monkeypatch.setattr("sys.argv", ["covers"])
    data = tmp_path / "covers"
    for seed in range(COVERS):
        write_cover(data / ("jazz", "rock", "pop")[seed % 3] / f"{seed:02d}.jpg", seed)
    (data / "jazz" / "empty.jpg").touch()
    usual, interrupted = tmp_path / "usual", tmp_path / "interrupted"
    _ingest(data, schema_path, usual, EngineConfig())

    killed: list[float] = []
    watcher = threading.Thread(
        target=_kill_when_rows_are_checked, args=(cluster, interrupted, killed), daemon=True
    )
    watcher.start()
    hanging = threading.Timer(SECONDS, cluster.server.kill)
    hanging.start()
    engine = EngineConfig.model_validate(cluster.options(parallelism=2))
    try:
        _ingest(data, schema_path, interrupted, engine)
    finally:
        hanging.cancel()
    watcher.join(1.0)

    assert killed
    job = max(cluster.ask("jobs/overview")["jobs"], key=lambda job: job["start-time"])
    assert job["state"] == "FINISHED"
    failures = cluster.ask(f"jobs/{job['jid']}/exceptions")["exceptionHistory"]["entries"]
    assert failures, "the job has noticed that a machine died"
    assert _shards(interrupted) == _shards(usual)
    summary = read_summary(interrupted / "quarantine")
    assert summary == read_summary(usual / "quarantine")
    assert summary.rows_given == COVERS + 1 == summary.rows_ingested + summary.rows_quarantined
