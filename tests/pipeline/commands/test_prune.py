from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ml_metadata.proto.metadata_store_pb2 import Execution

from components.contracts.outcome import Outcome
from pipeline.cli import main
from pipeline.commands.prune import prune
from pipeline.runner.history import RunHistory
from pipeline.runner.lock import hold_root
from pipeline.runner.metadata import MetadataLocation
from pipeline.runner.workspace import Workspace, generated_samples
from tests.pipeline.recorded_runs import ARTIFACT_BYTES, RecordedRuns


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedRuns:
    return RecordedRuns(tmp_path / "root")


def _covers(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def _runs(root: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(_covers("runs", "--json", "--pipeline-root", root)[1])
    return listed


def test_older_runs_lose_their_artifacts_and_the_cache_forgets_them(
    recorded: RecordedRuns,
) -> None:
    old, new = recorded.run(), recorded.run()
    pruned = prune(recorded.root, 1)
    assert (old.exists(), new.exists()) == (False, True)
    assert recorded.artifact_state(old) == "DELETED"
    assert recorded.artifact_state(new) == "LIVE"
    assert pruned.freed["artifacts"] == ARTIFACT_BYTES
    assert (len(pruned.kept), len(pruned.pruned)) == (1, 1)
    history = RunHistory(MetadataLocation(recorded.root))
    assert history.outputs(pruned.pruned[0], "Trainer") == {}
    assert [*history.outputs(pruned.kept[0], "Trainer")] == ["model"]
    again = prune(recorded.root, 1)
    assert again.pruned == ()
    assert sum(again.freed.values()) == 0


def test_what_a_kept_run_took_from_the_cache_is_kept(recorded: RecordedRuns) -> None:
    cached, old = recorded.run(), recorded.run()
    recorded.run(cached=cached)
    prune(recorded.root, 1)
    assert (cached.exists(), old.exists()) == (True, False)
    assert recorded.artifact_state(cached) == "LIVE"


def test_each_pipeline_keeps_its_newest_runs(recorded: RecordedRuns) -> None:
    other = recorded.run("other")
    old, new = recorded.run(), recorded.run()
    prune(recorded.root, 1)
    assert [path.exists() for path in (other, old, new)] == [True, False, True]


def test_interrupted_runs_do_not_count_but_stay_if_they_are_newer(recorded: RecordedRuns) -> None:
    interrupted = recorded.execute(recorded.begin())
    old = recorded.run(outcome=Outcome.NOT_BLESSED)
    resumable = recorded.execute(recorded.begin())
    new = recorded.run()
    latest = recorded.run(outcome=Outcome.INTERRUPTED)
    prune(recorded.root, 2)
    assert not interrupted.exists()
    assert all(path.exists() for path in (old, resumable, new, latest))


def test_logs_reports_and_samples_go_with_their_runs(recorded: RecordedRuns) -> None:
    workspace = Workspace(recorded.root, "tiny")
    samples = [workspace.sample(images, 0, ("rock", "pop")) for images in (100, 200)]
    for sample in samples:
        sample.mkdir(parents=True)
        (sample / "labels.csv").write_text("image,genres")
    own = samples[0].with_name("mine")
    own.mkdir()
    for sample in samples:
        recorded.run(data=str(sample))
    old, new = (run["run_id"] for run in reversed(_runs(recorded.root)))
    early = workspace.report_folder(old)
    early.mkdir(parents=True)
    (early / "report.html").write_text("a report")
    begun_before = workspace.log_file("20250101-000000-000000")  # wrong before TFX knew of it
    begun_before.write_text("a log")
    prune(recorded.root, 1)
    assert not early.exists()
    assert [path.stem for path in workspace.logs.iterdir()] == [new]
    assert generated_samples(recorded.root) == [samples[1]]
    assert own.exists()


def test_pushed_versions_stay_even_if_no_run_does(recorded: RecordedRuns) -> None:
    old = recorded.run()
    serving = Workspace(recorded.root, "tiny").push_destination
    (serving / "1700000000000").mkdir(parents=True)
    [artifact] = recorded.store.get_artifacts_by_uri(str(old))
    artifact.uri = str(serving / "1700000000000" / "x")  # whatever ML Metadata says
    (serving / "1700000000000" / "x").mkdir()
    recorded.store.put_artifacts([artifact])
    pruned = prune(recorded.root, 0)
    assert (serving / "1700000000000" / "x").exists()
    assert pruned.kept == ()


def test_what_killed_runs_left_is_removed_too(recorded: RecordedRuns) -> None:
    recorded.run()
    killed = recorded.execute(recorded.begin(), state=Execution.RUNNING)
    assert prune(recorded.root, 1, dry_run=True).freed["left by killed runs"] == ARTIFACT_BYTES
    assert prune(recorded.root, 1).freed["left by killed runs"] == ARTIFACT_BYTES
    assert not killed.exists()


def test_a_dry_run_says_the_same_and_removes_nothing(recorded: RecordedRuns) -> None:
    old, _ = recorded.run(), recorded.run()
    before = sorted(recorded.root.rglob("*"))
    planned = prune(recorded.root, 1, dry_run=True)
    assert sorted(path for path in recorded.root.rglob("*") if path.name != ".lock") == before
    assert recorded.artifact_state(old) == "LIVE"
    assert not any(run["pruned"] for run in _runs(recorded.root))
    done = prune(recorded.root, 1)
    assert (done.kept, done.pruned, done.freed) == (planned.kept, planned.pruned, planned.freed)


def test_a_person_reads_what_was_freed(recorded: RecordedRuns) -> None:
    old = recorded.run()
    (old / "file").write_bytes(bytes(2_300_000))
    recorded.run()
    root = ("--pipeline-root", recorded.root)
    dry = _covers("prune", "--keep", "1", "--dry-run", *root)[1].splitlines()
    assert dry[0] == "Would prune 1 run, kept 1: 2.3 MB to be freed"
    done = _covers("prune", "--keep", "1", *root)[1].splitlines()
    assert done[0] == "Pruned 1 run, kept 1: 2.3 MB freed"
    assert [line.split() for line in done[1:3]] == [
        ["logs", "and", "early", "reports", "0.0", "MB"],
        ["artifacts", "2.3", "MB"],
    ]
    as_json = json.loads(_covers("prune", "--keep", "1", "--json", *root)[1])
    assert as_json["freed_bytes"] == 0
    assert len(as_json["kept"]) == 1


def test_nothing_is_pruned_while_a_run_is_there(recorded: RecordedRuns) -> None:
    recorded.run()
    with hold_root(recorded.root, run_id="2026", pipeline="tiny"):
        code, said = _covers("prune", "--keep", "0", "--pipeline-root", recorded.root)
    assert code == 2
    assert "a run that process" in said


@pytest.mark.parametrize("keep", ["-1", "few"])
def test_wrong_use_is_refused(tmp_path: Path, keep: str) -> None:
    assert _covers("prune", "--keep", keep, "--pipeline-root", tmp_path)[0] == 2


def test_a_root_without_runs_is_left_alone(tmp_path: Path) -> None:
    code, said = _covers("prune", "--keep", "1", "--pipeline-root", tmp_path / "root")
    assert (code, said.startswith("No runs in")) == (0, True)
    assert not (tmp_path / "root").exists()


def test_pruned_runs_are_still_listed_and_say_why_they_have_no_report(
    recorded: RecordedRuns,
) -> None:
    for _ in range(2):
        artifact = recorded.run()
        run = RunHistory(MetadataLocation(recorded.root)).runs()[0]
        (artifact / "report.html").write_text("a report")
        recorded.end(run.run_id, report=str(artifact / "report.html"))
    prune(recorded.root, 1)
    new, old = _runs(recorded.root)
    assert (new["pruned"], old["pruned"]) == (False, True)
    root = ("--pipeline-root", recorded.root)
    table = _covers("runs", *root)[1].splitlines()
    assert [line.endswith("(pruned)") for line in table] == [False, False, True]
    assert _covers("report", *root)[1].strip().endswith("report.html")
    code, said = _covers("report", old["run_id"], *root)
    assert code == 2
    assert "it was removed by `covers prune`. Run it again" in said
