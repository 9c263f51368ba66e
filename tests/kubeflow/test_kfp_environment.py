"""The commands for a cluster in the environment of `make kfp`, where TFX is not installed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kfp_api import KfpApi, serving

pytestmark = pytest.mark.slow

Covers = Callable[..., str]

GIVEN = ("-p", "data=s3://bucket/covers", "-p", "push_destination=s3://bucket/serving")


@pytest.fixture(scope="module")
def api() -> KfpApi:
    return KfpApi()


@pytest.fixture
def covers(
    api: KfpApi, kfp_programs: Path, package_file: Path, tmp_path: Path
) -> Callable[..., str]:
    """Runs a command that must succeed; returns what it printed."""

    def run(*words: str, code: int = 0) -> str:
        with serving(api) as url:
            done = subprocess.run(
                [kfp_programs / "covers", *words],
                cwd=package_file.parent,
                env={**os.environ, "HOME": str(tmp_path), "KFP_HOST": url},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        assert done.returncode == code, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout

    return run


def test_it_lacks_what_the_commands_must_not_need(kfp_programs: Path) -> None:
    for name in ("tensorflow", "tfx", "numpy"):
        words = [kfp_programs / "python", "-c", f"import {name}"]
        assert subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode != 0


def test_a_run_is_submitted_and_waited_for(api: KfpApi, covers: Covers) -> None:
    said = covers("submit", "pipeline.yaml", *GIVEN, "--experiment", "genres", "--wait")
    assert said.splitlines()[-1] == "Succeeded."
    assert api.runs[-1]["display_name"].startswith("tiny")


def test_options_of_a_run_are_checked_and_sent(api: KfpApi, covers: Covers) -> None:
    covers("submit", "pipeline.yaml", *GIVEN, "--set", "trainer.epochs=60")
    sent = api.runs[-1]["runtime_config"]["parameters"]
    assert sent["data"] == "s3://bucket/covers"
    assert '"epochs": 60' in sent["training"]
    said = covers("submit", "pipeline.yaml", *GIVEN, "--set", "trainer.epochs=none", code=2)
    assert "trainer.epochs: Expected " in said


def test_a_schedule_is_made_replaced_and_managed(api: KfpApi, covers: Covers) -> None:
    for hour in (3, 4):
        covers("schedule", "pipeline.yaml", *GIVEN, "--cron", f"0 0 {hour} * * *")
    (schedule,) = api.recurring_runs
    assert schedule["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"
    name = schedule["display_name"]
    assert f"{name}  running  0 0 4 * * *" in covers("schedules", "list")
    covers("schedules", "pause", name)
    assert schedule["status"] == "DISABLED"
    covers("schedules", "resume", name)
    assert schedule["status"] == "ENABLED"
    covers("schedules", "delete", name)
    assert api.recurring_runs == []


def test_a_version_is_uploaded(api: KfpApi, covers: Covers) -> None:
    covers("upload", "pipeline.yaml", "--version", "0.2.0")
    assert "0.2.0" in {version["display_name"] for version in api.versions}
    assert "Expected" in covers("upload", "pipeline.yaml", "--version", "0 2:0", code=2)
