from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ml_metadata.proto.metadata_store_pb2 import Execution

from pipeline.commands.sample import half_written_samples, write_sample
from pipeline.runner import sweep as module
from pipeline.runner.lock import hold_root
from pipeline.runner.metadata import MetadataLocation
from pipeline.runner.sweep import mark_artifacts, sweep
from pipeline.runner.workspace import Workspace
from tests.pipeline.recorded_runs import ARTIFACT_BYTES, RecordedRuns


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedRuns:
    return RecordedRuns(tmp_path / "root")


def _swept(root: Path) -> tuple[int, list[str]]:
    said: list[str] = []
    with hold_root(root, run_id="2026"):
        return sweep(MetadataLocation(root), said.append), said


def _file(path: Path, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def test_an_empty_root_stays_empty(tmp_path: Path) -> None:
    assert _swept(tmp_path) == (0, [])
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "CANCELED"])
def test_what_executions_left_that_did_not_succeed_is_removed(
    recorded: RecordedRuns, state: str
) -> None:
    made = recorded.run()
    killed = recorded.execute(recorded.begin(), state=Execution.State.Value(state))
    of_another = recorded.execute(
        recorded.begin("other"), pipeline="other", state=Execution.State.Value(state)
    )
    assert _swept(recorded.root) == (2 * ARTIFACT_BYTES, [])
    assert made.exists()
    assert not killed.exists()
    assert not of_another.exists()


def test_folders_of_another_database_are_left_alone(recorded: RecordedRuns) -> None:
    """Such as of the one before, which may come back from a backup."""
    made = recorded.run()
    unknown = _file(made.parent / "99" / "file").parent
    _swept(recorded.root)
    assert made.exists()
    assert unknown.exists()


def test_executions_of_killed_runs_are_closed_and_others_are_not(recorded: RecordedRuns) -> None:
    recorded.run(cached=recorded.run())
    recorded.execute(recorded.begin(), state=Execution.RUNNING)
    _swept(recorded.root)
    states = [each.last_known_state for each in recorded.store.get_executions()]
    assert sorted(states) == sorted([Execution.COMPLETE, Execution.CACHED, Execution.FAILED])


def test_what_is_nobodys_leftover_stays(recorded: RecordedRuns) -> None:
    recorded.run()
    workspace = Workspace(recorded.root, "tiny")
    kept = [
        _file(workspace.push_destination / "1700000000000" / "saved_model.pb"),
        _file(workspace.push_destination / "1700000000000" / "7" / "file"),
        _file(workspace.features / "abc.npz"),
        _file(workspace.checkpoints / "abc" / "checkpoint.npz"),
        _file(workspace.checked / "abc"),
        _file(workspace.report_folder("20260101-000001-000000") / "report.html"),
        _file(workspace.log_file("20260101-000001-000000")),
        _file(recorded.root / "unknown_pipeline" / "Trainer" / "model" / "99" / "file"),
        _file(recorded.root / "tiny" / "notes" / "model" / "99" / "file"),
        _file(recorded.root / "samples" / "600-covers-seed-0-abc" / "labels.csv"),
    ]
    assert _swept(recorded.root) == (0, [])
    assert all(path.exists() for path in kept)


def test_files_that_were_never_finished_are_removed(recorded: RecordedRuns) -> None:
    workspace = Workspace(recorded.root, "tiny")
    pushed = workspace.push_destination / ".1700000000000.abc.partial" / "saved_model.pb"
    left_over = [
        _file(pushed),
        _file(workspace.features / "abc.npz.partial"),
        _file(workspace.checkpoints / "abc" / "checkpoint.npz.partial"),
        _file(recorded.root / "samples" / ".covers-sample-abc" / "sample" / "labels.csv"),
    ]
    assert _swept(recorded.root) == (40, [])
    assert not any(path.exists() for path in [*left_over, pushed.parent])
    assert workspace.push_destination.exists()


def test_temporary_files_of_a_process_that_died_are_removed(tmp_path: Path) -> None:
    temporary, root = tmp_path / "covers-run-abc", tmp_path / "root"
    _file(temporary / "deeper" / "file")
    record = {"pid": 1, "started": "2026-01-01T00:00:00", "temporary": str(temporary)}
    _file(root / ".lock").write_text(json.dumps({**record, "left_over": []}))
    assert _swept(root) == (10, [])
    assert not temporary.exists()


def test_what_tfx_keeps_during_an_execution_is_removed(recorded: RecordedRuns) -> None:
    made = recorded.run()
    system = made.parent.parent / ".system"
    (system / "executor_execution" / made.name).mkdir(parents=True)
    _file(system / "stateful_working_dir" / "2026" / "1" / "file")
    assert _swept(recorded.root)[0] == 10
    assert not [*system.glob("*/*")]
    assert made.exists()


def test_a_folder_made_for_an_output_that_was_not_given_is_removed(
    recorded: RecordedRuns,
) -> None:
    made = recorded.run()
    unused = made.parents[1] / "not_given" / made.name
    unused.mkdir(parents=True)
    shutil.rmtree(made)
    made.mkdir()  # an artifact may be an empty folder
    _swept(recorded.root)
    assert made.exists()
    assert not unused.exists()


def test_a_removal_that_was_killed_is_finished(recorded: RecordedRuns) -> None:
    made, other = recorded.run(), recorded.run()
    [artifact] = recorded.store.get_artifacts_by_uri(str(made))
    mark_artifacts(recorded.store, [artifact.id])
    assert recorded.artifact_state(made) == "MARKED_FOR_DELETION"
    assert _swept(recorded.root)[0] == ARTIFACT_BYTES
    assert not made.exists()
    assert recorded.artifact_state(made) == "DELETED"
    assert recorded.artifact_state(other) == "LIVE"


def test_a_person_hears_of_much_and_not_of_little(
    recorded: RecordedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WORTH_A_LINE", 3_000_000)
    partial = Workspace(recorded.root, "tiny").features / "abc.npz.partial"
    _file(partial, 2_900_000)
    assert _swept(recorded.root)[1] == []
    _file(partial, 3_100_000)
    assert _swept(recorded.root)[1] == ["  Removed 3 MB that killed runs had left."]


def test_what_cannot_be_removed_stops_nothing(
    recorded: RecordedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError("not yours")

    killed = recorded.execute(recorded.begin(), state=Execution.RUNNING)
    with hold_root(recorded.root), monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        assert sweep(MetadataLocation(recorded.root), print) == 0
    assert killed.exists()


def test_a_moved_root_keeps_what_it_owns_and_forgets_what_is_not_there(
    recorded: RecordedRuns,
) -> None:
    made, lost = recorded.run(), recorded.run()
    shutil.rmtree(lost)
    moved = recorded.root.rename(recorded.root.parent / "elsewhere")
    # Another root at the old place must not be taken for this one.
    other = RecordedRuns(recorded.root)
    assert other.run() == made
    _swept(moved)
    there = RecordedRuns(moved)
    new = moved / made.relative_to(recorded.root)
    assert new.exists()
    assert there.artifact_state(new) == "LIVE"
    assert there.artifact_state(lost) == "DELETED"
    assert made.exists()


def test_a_sample_that_is_being_written_is_not_taken_for_left_over(tmp_path: Path) -> None:
    seen: list[Path] = []

    def look(done: int, total: int) -> None:
        assert half_written_samples(tmp_path) == []
        seen.extend(tmp_path.glob(".covers-sample-*"))

    left_over = _file(tmp_path / ".covers-sample-abc" / "sample" / "labels.csv")
    write_sample(tmp_path / "sample", genres=("rock", "pop"), images=1, progress=look)
    assert seen
    assert not left_over.exists()


def test_a_killed_sample_in_an_empty_folder_can_be_begun_again(tmp_path: Path) -> None:
    _file(tmp_path / ".covers-sample-abc" / "sample" / "labels.csv")
    write_sample(tmp_path, genres=("rock", "pop"), images=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "images", "labels.csv", "sample.json"
    ]  # fmt: skip
