"""The Beam stages on a real cluster of Spark leave what they leave in this process."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from artifacts import differences
from runs import LEFT, STAGES, covers, interrupt, run, sample_with_a_fault
from spark_cluster import SparkCluster

from pipeline.commands.batch_prediction.job import predict_to_file
from tests.pipeline.tiny_models import export_tiny_model

COVERS = int(os.environ.get("COVERS_SPARK_COVERS", "200"))
AT_WORK = 5000  # milliseconds, before the job of the fewest covers ends

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_with_a_fault(tmp_path_factory.mktemp("covers"), COVERS)


@pytest.fixture(scope="module")
def roots(
    data: Path, spark: SparkCluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The artifacts of a run in one process, and of one whose Beam stages ran on Spark."""
    here, there = tmp_path_factory.mktemp("local"), tmp_path_factory.mktemp("on-spark")
    run(data, here)
    before = len(spark.state()["completedapps"])
    run(data, there, spark.options())
    applications = spark.state()["completedapps"][before:]
    assert [each["state"] for each in applications] == ["FINISHED"] * len(STAGES)
    return here / "tiny", there / "tiny"


@pytest.mark.parametrize("what", LEFT)
def test_both_runs_left_the_same(roots: tuple[Path, Path], what: str) -> None:
    here, there = (LEFT[what](root) for root in roots)
    assert here
    assert not list(differences(here, there))


def test_a_prediction_is_the_file_of_one_process(
    spark: SparkCluster, tmp_path: Path, write_cover: Any
) -> None:
    folder = tmp_path / "covers"
    first = write_cover(folder / "00.png", 0)
    for number in range(1, 40):
        shutil.copy(first, folder / f"{number:02d}.png")
    (folder / "07a.jpg").write_bytes(b"\xff\xd8 and no more")
    model = export_tiny_model(tmp_path / "model", ("jazz", "pop"))
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    predict_to_file([str(folder)], here, model=model, console=io.StringIO())
    engine = f"engine={json.dumps(spark.options())}"
    said = covers("predict", folder, "--model", model, "--output", there, "--set", engine)
    assert said.returncode == 3, said.stdout + said.stderr
    assert there.read_bytes() == here.read_bytes()


def test_an_interrupted_run_cancels_its_job(
    data: Path, spark: SparkCluster, tmp_path: Path
) -> None:
    before = spark.jobs().keys()

    def is_at_work() -> bool:
        return any(each["duration"] > AT_WORK for each in spark.state()["activeapps"])

    said = interrupt(data, tmp_path / "root", spark.options(), is_at_work)
    assert "may have left the job" not in said
    (name,) = spark.jobs().keys() - before
    assert spark.jobs()[name] == "CANCELLED", "a job that had ended would be DONE"
    assert not spark.state()["activeapps"]
