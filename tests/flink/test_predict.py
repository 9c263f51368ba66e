"""`covers predict` on a cluster of Flink, stopped in the middle, leaves the file of one process."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster

from pipeline.commands.batch_prediction.job import predict_to_file
from tests.pipeline.tiny_models import export_tiny_model

ROOT = Path(__file__).parents[2]
COVERS, IN_A_PART = 60, 2
SIDE = 2400  # so large that a part takes a while
SECONDS = 240.0
COMMAND = f"""
import functools, sys
from pipeline.cli import main
from pipeline.commands.batch_prediction import command
command.predict_to_file = functools.partial(command.predict_to_file, part_size={IN_A_PART})
main(sys.argv[1:])
"""

pytestmark = pytest.mark.slow


def _start(covers: Path, output: Path, model: Path, cluster: Cluster) -> subprocess.Popen[str]:
    engine = f"engine={json.dumps(cluster.options(parallelism=2))}"
    arguments = ["predict", covers, "--model", model, "--output", output, "--set", engine]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


def test_a_prediction_that_is_stopped_goes_on(
    cluster: Cluster, tmp_path: Path, write_cover: Any
) -> None:
    covers, output = tmp_path / "covers", tmp_path / "there.csv"
    first_cover = write_cover(covers / "000.png", 0, SIDE)
    for number in range(1, COVERS - 1):
        shutil.copy(first_cover, covers / f"{number:03d}.png")
    (covers / "007a.jpg").write_bytes(b"\xff\xd8 and no more")
    model = export_tiny_model(tmp_path / "model", ("jazz", "pop"))
    before = len(cluster.ask("jobs/overview")["jobs"])

    first = _start(covers, output, model, cluster)
    parts = tmp_path / ".there.csv.parts"
    end = time.monotonic() + SECONDS
    while len(list(parts.glob("*.jsonl"))) < 2:
        assert first.poll() is None and time.monotonic() < end, first.communicate()
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=SECONDS)
    assert first.returncode == 130, said
    answered = IN_A_PART * len([*parts.glob("*.jsonl"), *parts.glob("*.answered")])
    assert 2 <= answered < COVERS

    second = _start(covers, output, model, cluster)
    said, _ = second.communicate(timeout=SECONDS)
    assert second.returncode == 3, said
    assert f"{COVERS} covers given, {COVERS - 1} answered, 1 unreadable" in said
    assert f"{answered} of them were answered before the job was stopped" in said

    jobs = sorted(cluster.ask("jobs/overview")["jobs"], key=lambda job: job["start-time"])
    cancelled, finished = (job["state"] for job in jobs[before:])
    assert cancelled in ("CANCELED", "FINISHED")  # its workers give up, too, and may be first
    assert finished == "FINISHED"
    here = tmp_path / "here.csv"
    predict_to_file([str(covers)], here, model=model, part_size=IN_A_PART, console=io.StringIO())
    assert output.read_bytes() == here.read_bytes()
    assert not parts.exists()
