"""The Beam stages on a real cluster of Flink leave what they leave in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from artifacts import differences, newest, predictions, read_json, records, statistics
from cluster import Cluster

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "containers" / "tiny.yaml"
COVERS = int(os.environ.get("COVERS_FLINK_COVERS", "200"))
SECONDS = 900.0
STAGES = ("CoverExampleGen", "StatisticsGen", "BatchInference", "Evaluator")

pytestmark = pytest.mark.slow


def _covers(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=SECONDS)


def _run(data: Path, root: Path, *options: str) -> str:
    ran = _covers(
        "run", "--config", CONFIG, "--data", data, "--pipeline-root", root, *options
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Covers with near-duplicates, and a file that is no image."""
    folder = tmp_path_factory.mktemp("covers") / "sample"
    assert _covers("sample", folder, "--images", str(COVERS)).returncode == 0
    manifest = folder / "labels.csv"
    (folder / "images" / "broken.jpg").write_bytes(b"\xff\xd8 and no more")
    manifest.write_text(f"{manifest.read_text()}images/broken.jpg,rock\n")
    return folder


@pytest.fixture(scope="module")
def jobs(cluster: Cluster) -> Callable[[], list[str]]:
    """Returns a function that returns the states of the jobs that these tests have begun."""
    others = {job["jid"] for job in cluster.ask("jobs/overview")["jobs"]}

    def states() -> list[str]:
        every = cluster.ask("jobs/overview")["jobs"]
        return [job["state"] for job in every if job["jid"] not in others]

    return states


@pytest.fixture(scope="module")
def roots(
    data: Path,
    cluster: Cluster,
    jobs: Callable[[], list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """The artifacts of a run in one process, and of one whose Beam stages ran on Flink."""
    here, there = tmp_path_factory.mktemp("local"), tmp_path_factory.mktemp("on-flink")
    _run(data, here)
    _run(data, there, "--set", f"engine={json.dumps(cluster.options(parallelism=2))}")
    return here / "tiny", there / "tiny"


def test_the_cluster_ran_every_stage(
    roots: tuple[Path, Path], jobs: Callable[[], list[str]]
) -> None:
    assert roots
    assert jobs() == ["FINISHED"] * len(STAGES)


def test_examples_are_the_same_bytes(roots: tuple[Path, Path]) -> None:
    here, there = (records(newest(root, "CoverExampleGen", "examples")) for root in roots)
    assert here == there
    assert sum(map(len, here.values())) >= 0.9 * COVERS


@pytest.mark.parametrize("name", ["quarantine.jsonl", "contradictions.jsonl", "summary.json"])
def test_the_account_of_rows_is_the_same(roots: tuple[Path, Path], name: str) -> None:
    here, there = (newest(root, "CoverExampleGen", "quarantine") / name for root in roots)
    assert here.read_bytes() == there.read_bytes()
    assert name != "quarantine.jsonl" or here.read_bytes()


@pytest.mark.parametrize(
    ("node", "key", "read"),
    [
        ("StatisticsGen", "statistics", statistics),
        ("BatchInference", "predictions", predictions),
        ("Evaluator", "evaluation", lambda folder: read_json(folder / "record.json")),
    ],
    ids=STAGES[1:],
)
def test_numbers_are_the_same(
    roots: tuple[Path, Path], node: str, key: str, read: Callable[[Path], Any]
) -> None:
    here, there = (read(newest(root, node, key)) for root in roots)
    assert here
    assert not list(differences(here, there))


def test_results_of_another_engine_are_taken_from_the_cache(
    roots: tuple[Path, Path], data: Path, jobs: Callable[[], list[str]]
) -> None:
    said = _run(data, roots[1].parent, "--set", "engine=local")
    for stage in STAGES:
        assert f"{stage} " in said
        line = next(line for line in said.splitlines() if f"{stage} " in line)
        assert "cached" in line
    assert len(jobs()) == len(STAGES)
