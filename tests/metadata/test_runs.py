"""Real runs of several pipeline roots on one server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.tiny import CONFIG

from .conftest import PASSWORD, Server

pytestmark = pytest.mark.slow

METADATA = """
metadata:
  mysql: {{{mysql}, database: covers_runs, password_variable: TEAM_PASSWORD}}
"""
ROOTS = ("one", "two")


class Team:
    """Two pipeline roots that share covers, a configuration and a server."""

    def __init__(self, folder: Path, server: Server, schema: Path) -> None:
        self.folder = folder
        self.config = folder / "tiny.yaml"
        self.config.write_text(CONFIG.format(schema=schema) + METADATA.format(mysql=server.mysql))
        self.said: list[str] = []
        self.covers("sample", folder / "covers", "--images", "200", "--seed", "3")

    def covers(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Runs a command as somebody who knows the password."""
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate()
        self.said.append(stdout + stderr)
        assert "Traceback" not in self.said[-1]
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Starts a command as somebody who knows the password."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TEAM_PASSWORD": PASSWORD},
        )

    def options(self, root: str, data: Path) -> tuple[object, ...]:
        """Returns the options of a run."""
        return ("--config", self.config, "--data", data, "--pipeline-root", self.folder / root)

    def run(self, root: str) -> dict[str, Any]:
        """Runs the pipeline in a root."""
        done = self.covers("run", "--json", *self.options(root, self.folder / "covers"))
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def run_at_once(self) -> list[dict[str, Any]]:
        """Runs the pipeline in both roots at the same time."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(self.run, ROOTS))

    def runs(self, *arguments: object) -> list[str]:
        """Returns the ids that `covers runs` lists."""
        done = self.covers("runs", "--json", *arguments)
        return [run["run_id"] for run in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, mariadb: Server, schema_path: Path) -> Team:
    return Team(tmp_path_factory.mktemp("team"), mariadb, schema_path)


@pytest.fixture(scope="module")
def first(team: Team) -> list[dict[str, Any]]:
    """The first runs of both roots, at once, on a database without tables."""
    return team.run_at_once()


def _stages(result: dict[str, Any]) -> set[str]:
    return set(result["stages"].values())


def test_roots_share_a_server_but_no_files(team: Team, first: list[dict[str, Any]]) -> None:
    for root, result in zip(ROOTS, first, strict=True):
        assert result["outcome"] == "pushed"
        assert _stages(result) == {"done"}
        folder = team.folder / root
        assert Path(result["report"]).is_relative_to(folder)
        report = Path(result["report"]).with_suffix(".json").read_text()
        others = team.folder / ROOTS[1 - ROOTS.index(root)]
        assert str(folder) in report
        assert str(others) not in report
        assert not (folder / "metadata.sqlite").exists()


def test_second_runs_are_cached_root_by_root(team: Team, first: list[dict[str, Any]]) -> None:
    again = team.run_at_once()
    for before, result in zip(first, again, strict=True):
        assert result["outcome"] == "pushed"
        assert _stages(result) == {"cached"}
        assert result["pushed_model"] == before["pushed_model"]
        assert result["evaluation"] == before["evaluation"]


def test_runs_and_reports_are_found_on_the_server(team: Team, first: list[dict[str, Any]]) -> None:
    of_root = [set(team.runs("--pipeline-root", team.folder / root)) for root in ROOTS]
    for ids, result in zip(of_root, first, strict=True):
        assert result["run_id"] in ids
    assert not of_root[0] & of_root[1]
    # A colleague with a root of their own sees all of them.
    elsewhere = ("--pipeline-root", team.folder / "three")
    assert set(team.runs("--config", team.config, *elsewhere)) == of_root[0] | of_root[1]
    assert team.runs(*elsewhere) == []
    for root, result in zip(ROOTS, first, strict=True):
        found = team.covers(
            "report", result["run_id"], "--pipeline-root", team.folder / root
        ).stdout.strip()
        assert found == result["report"]


def test_the_password_is_written_nowhere(team: Team, first: list[dict[str, Any]]) -> None:
    said = "".join(team.said)
    assert "Report: " in said
    assert PASSWORD not in said
    written = [file for file in team.folder.rglob("*") if file.is_file()]
    assert any(file.suffix == ".log" for file in written)
    assert [file for file in written if PASSWORD.encode() in file.read_bytes()] == []
    stored = team.covers("runs", "--json", "--config", team.config).stdout
    assert "password_variable" not in stored and PASSWORD not in stored


def test_a_root_outlives_the_other(team: Team, first: list[dict[str, Any]]) -> None:
    shutil.rmtree(team.folder / ROOTS[1])
    result = team.run(ROOTS[0])
    assert _stages(result) == {"cached"}
    assert Path(result["report"]).is_file()


def test_a_server_that_dies_during_a_run_is_told(
    team: Team, mariadb: Server, first: list[dict[str, Any]]
) -> None:
    """The last test of this server."""
    more = Path(shutil.copytree(team.folder / "covers", team.folder / "more"))
    with (more / "labels.csv").open("a") as manifest:
        manifest.write("images/00000.jpg,jazz\n")
    with team.start("run", *team.options(ROOTS[0], data=more)) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "LabelSchemaGen" in line:  # taken from the cache; ingest comes next
                break
        mariadb.process.kill()
        seen, said = run.communicate()
    assert run.returncode == 1
    assert "CoverExampleGen   done" not in seen  # failed, or had not begun yet
    assert "Traceback" not in seen + said
    assert "FAILED" in seen
    assert "Received: Connection refused." in seen, seen
