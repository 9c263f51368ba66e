"""The Beam stages on a real cluster of Flink leave what they leave in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from artifacts import differences
from cluster import Cluster
from runs import LEFT, STAGES, run, sample_with_a_fault

COVERS = int(os.environ.get("COVERS_FLINK_COVERS", "200"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_with_a_fault(tmp_path_factory.mktemp("covers"), COVERS)


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
    run(data, here)
    run(data, there, cluster.options(parallelism=2))
    return here / "tiny", there / "tiny"


def test_the_cluster_ran_every_stage(
    roots: tuple[Path, Path], jobs: Callable[[], list[str]]
) -> None:
    assert roots
    assert jobs() == ["FINISHED"] * len(STAGES)


@pytest.mark.parametrize("what", LEFT)
def test_both_runs_left_the_same(roots: tuple[Path, Path], what: str) -> None:
    here, there = (LEFT[what](root) for root in roots)
    assert here
    assert not list(differences(here, there))


def test_results_of_another_engine_are_taken_from_the_cache(
    roots: tuple[Path, Path], data: Path, jobs: Callable[[], list[str]]
) -> None:
    said = run(data, roots[1].parent)
    for stage in STAGES:
        assert f"{stage} " in said
        line = next(line for line in said.splitlines() if f"{stage} " in line)
        assert "cached" in line
    assert len(jobs()) == len(STAGES)
