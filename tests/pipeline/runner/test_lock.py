from __future__ import annotations

import datetime
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from components.support.errors import ConfigError
from pipeline.runner.lock import hold_root, holder, temporary_left_over
from pipeline.runner.workspace import Workspace

IN_THE_ROOT = """
import sys, tempfile, time
from pathlib import Path
from pipeline.runner.lock import hold_root
with hold_root(Path(sys.argv[1]), run_id="2026", pipeline="tiny"):
    print(tempfile.mkdtemp(), flush=True)
    time.sleep(600)
"""


def _killed_in(root: Path) -> Path:
    """Kills a process that was in the root; returns the temporary folder it had made."""
    command = [sys.executable, "-c", IN_THE_ROOT, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
    return folder


def test_a_second_run_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "tiny")
    with workspace.locked("20260101-000000-000000"):
        for _ in range(2):  # a refusal must not wipe out what it reads
            with pytest.raises(ConfigError) as refused, workspace.locked("another"):
                pass
            assert re.search(
                rf"Received: a run that process {os.getpid()} started at \d\d:\d\d\. Wait",
                str(refused.value),
            )
    with workspace.locked("another"):
        pass


def test_a_run_is_refused_while_something_else_is_there(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "tiny")
    with (
        hold_root(tmp_path),
        pytest.raises(ConfigError, match="`covers prune` that process"),
        workspace.locked("another"),
    ):
        pass


def test_who_is_there_is_known_while_it_is_there(tmp_path: Path) -> None:
    assert holder(tmp_path / "nowhere") is None
    with hold_root(tmp_path, run_id="2026", pipeline="tiny"):
        here = holder(tmp_path)
        assert here
        assert (here.pid, here.run_id, here.pipeline) == (os.getpid(), "2026", "tiny")
        assert datetime.datetime.now() - here.started < datetime.timedelta(minutes=1)
    assert holder(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{}", "garbage", '{"pid": 1, "started": 2}', "[]"])
def test_a_lock_file_of_another_version_is_no_obstacle(tmp_path: Path, content: str) -> None:
    (tmp_path / ".lock").write_text(content)
    with hold_root(tmp_path, run_id="2026"):
        here = holder(tmp_path)
        assert here
        assert here.run_id == "2026"


def test_a_process_that_died_is_no_obstacle_and_its_temporary_files_are_found(
    tmp_path: Path,
) -> None:
    first, second = _killed_in(tmp_path), _killed_in(tmp_path)
    assert holder(tmp_path) is None
    with hold_root(tmp_path):
        assert temporary_left_over(tmp_path) == [first.parent, second.parent]
    with hold_root(tmp_path, run_id="2026"):  # the last one looked without removing them
        assert temporary_left_over(tmp_path) == [first.parent, second.parent]
        first.rmdir()
        first.parent.rmdir()
    with hold_root(tmp_path):
        assert temporary_left_over(tmp_path) == [second.parent]
    second.rmdir()
    second.parent.rmdir()


def test_a_runs_temporary_files_are_in_one_folder_and_go_with_it(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    with hold_root(tmp_path, run_id="2026"):
        here = holder(tmp_path)
        assert here
        assert Path(here.temporary).parent == Path(before)
        own = tempfile.mkdtemp()
        of_a_child = subprocess.check_output(["mktemp"], text=True).strip()
        assert {Path(own).parent, Path(of_a_child).parent} == {Path(here.temporary)}
    assert tempfile.gettempdir() == before
    assert not Path(here.temporary).exists()


def test_only_folders_of_runs_count_as_their_temporary_files(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text(
        '{"pid": 1, "started": "2026-01-01T00:00:00", "run_id": "2026", "pipeline": "tiny", '
        f'"temporary": "{tmp_path}", "left_over": ["/etc"]}}'
    )
    with hold_root(tmp_path):
        assert temporary_left_over(tmp_path) == []
