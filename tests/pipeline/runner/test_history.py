from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.contracts.outcome import Outcome
from components.support.errors import ConfigError
from pipeline.commands.reports import find_report
from pipeline.commands.runs import describe_runs
from pipeline.runner.history import RunHistory
from pipeline.runner.lock import hold_root
from pipeline.runner.metadata import MetadataLocation
from pipeline.runner.workspace import below_root
from tests.pipeline.recorded_runs import RecordedRuns


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedRuns:
    return RecordedRuns(tmp_path / "root")


def _with_report(recorded: RecordedRuns) -> tuple[str, Path]:
    run_id = recorded.begin()
    page = recorded.execute(run_id, "ReportGen") / "report.html"
    page.write_text("a report")
    recorded.end(run_id, report=str(page))
    return run_id, page


def test_a_run_is_running_while_it_is_in_the_root_and_interrupted_if_it_was_killed(
    recorded: RecordedRuns,
) -> None:
    killed, running = recorded.begin(), recorded.begin()
    ended = recorded.begin()
    recorded.end(ended, outcome=Outcome.FAILED)

    def verdicts() -> dict[str, str]:
        return {
            run.run_id: run.verdict for run in RunHistory(MetadataLocation(recorded.root)).runs()
        }

    with hold_root(recorded.root, run_id=running, pipeline="tiny"):
        assert verdicts() == {killed: "interrupted", running: "running", ended: "failed"}
        [line] = [
            line
            for line in describe_runs(
                RunHistory(MetadataLocation(recorded.root)).runs(), recorded.root
            )
            if line.startswith(running)
        ]
        assert line.split()[-2:] == ["tiny", "running"]
        with pytest.raises(ConfigError, match="none; it is still running"):
            find_report(recorded.root, running)
    assert verdicts() == {killed: "interrupted", running: "interrupted", ended: "failed"}


def test_a_run_is_listed_before_tfx_knows_of_it(recorded: RecordedRuns) -> None:
    recorded.run()
    with hold_root(recorded.root, run_id="2026", pipeline="young"):
        newest, _ = RunHistory(MetadataLocation(recorded.root)).runs()
        assert (newest.run_id, newest.pipeline, newest.verdict) == ("2026", "young", "running")
    with hold_root(recorded.root):
        assert len(RunHistory(MetadataLocation(recorded.root)).runs()) == 1


def test_a_moved_root_has_its_reports(recorded: RecordedRuns) -> None:
    run_id, page = _with_report(recorded)
    moved = recorded.root.rename(recorded.root.parent / "deeper_elsewhere")
    there = moved / page.relative_to(recorded.root)
    assert find_report(moved, None) == there
    assert find_report(moved, run_id) == there
    history = RunHistory(MetadataLocation(moved))
    assert history.outputs(run_id, "ReportGen")["model"].uri == str(there.parent)
    result = history.runs()[0].result
    assert result
    assert Path(result.log_file).is_file()
    assert Path(result.log_file).is_relative_to(moved)


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_a_root_moved_within_itself_has_its_reports(tmp_path: Path, up: bool) -> None:
    before, after = tmp_path / "roots" / "archive", tmp_path / "roots"
    if not up:
        before, after = after, before
    recorded = RecordedRuns(before)
    _, page = _with_report(recorded)
    shutil.move(before, tmp_path / "between")
    if after.exists():
        after.rmdir()
    after.parent.mkdir(exist_ok=True)
    shutil.move(tmp_path / "between", after)
    assert find_report(after, None) == after / page.relative_to(before)


def test_a_copied_root_has_reports_of_its_own(recorded: RecordedRuns) -> None:
    run_id, page = _with_report(recorded)
    copy = Path(shutil.copytree(recorded.root, recorded.root.parent / "copy"))
    own = copy / page.relative_to(recorded.root)
    assert find_report(copy, None) == own
    own.unlink()
    with pytest.raises(ConfigError, match=f"Expected a report of run {run_id}"):
        find_report(copy, run_id)


def test_a_path_that_is_nowhere_in_the_root_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    for recorded in ("/nowhere/tiny/Trainer/model/1", "/nowhere/labels.csv", "covers", ""):
        assert below_root(recorded, tmp_path) == Path(recorded)
