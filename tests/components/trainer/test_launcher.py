"""How workers are started and watched; here they do not train, and begin at once."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.support import progress
from components.support.errors import ConfigError, CoversError, MachineError
from components.trainer import attendance, launcher
from components.trainer.attendance import attend, meeting_folder
from components.trainer.handover import WorkerTask
from components.trainer.launcher import train_with_workers

_ROOT = Path(__file__).parents[3]
_TASK = WorkerTask({}, [], [], "", "", "recipe", "code-1", "", "")
_PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from components.support import progress
from components.support.errors import ConfigError
from components.trainer import worker
from components.trainer.attendance import attend, meeting_folder
from components.trainer.handover import WorkResult

def train(task, threads):
    index = int(os.environ["TF_CONFIG"][-3])
    {body}
    return WorkResult([], [], [], 3, {{}}) if index == 0 else None

worker._train = train
worker.main(Path(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Returns a function that says what each worker does instead of training."""

    monkeypatch.setattr(launcher, "_OTHERS_END_WITHIN", 0.5)

    def do(body: str) -> None:
        program = tmp_path / "program.py"
        program.write_text(_PROGRAM.format(body=body))
        monkeypatch.setattr(launcher, "_COMMAND", (sys.executable, str(program)))

    return do


def test_the_chief_reports_and_hands_over(working):
    working('progress.report("Trainer", 1, 2, f"from {index}"); progress.warn("Trainer", "mind")')
    reports: list[object] = []
    warned: list[object] = []
    with progress.listening(lambda *each: reports.append(each), lambda *each: warned.append(each)):
        assert train_with_workers(_TASK, 3).best_epoch == 3
    assert reports == [("Trainer", 1, 2, "from 0")]
    assert warned == [("Trainer", "mind")]


def test_what_a_worker_is_refused_with_is_what_the_training_is_refused_with(working):
    working('if index: raise ConfigError("Expected a finite loss.")\n    time.sleep(60)')
    with pytest.raises(ConfigError, match=re.escape("Expected a finite loss.")):
        train_with_workers(_TASK, 2)


def test_an_unexpected_error_is_not_tried_again(working):
    working("1 / (index - 1)")
    with pytest.raises(CoversError, match=r"worker 1 of 2 ended with exit code 1\. The log has"):
        train_with_workers(_TASK, 2)


def test_workers_that_are_killed_again_and_again_end_the_training(working):
    working("os.kill(os.getpid(), signal.SIGKILL) if index else time.sleep(60)")
    warned: list[str] = []
    listening = progress.listening(lambda *_: None, lambda _, sentence: warned.append(sentence))
    with (
        listening,
        pytest.raises(MachineError, match=r"SIGKILL.*after 3 restarts.*trainer.workers"),
    ):
        train_with_workers(_TASK, 2)
    assert len(warned) == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_whoever_started_them(working, tmp_path, number):
    pids = tmp_path / "pids"
    working(f'open("{pids}", "a").write(f"{{os.getpid()}}\\n"); time.sleep(600)')
    starter = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # if ignored
        "from components.trainer import launcher, handover; "
        f"launcher._COMMAND = {launcher._COMMAND!r}; "
        f"launcher.train_with_workers(handover.{_TASK!r}, 2)"
    )
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", starter], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
            process.send_signal(number)
            process.wait(60)
        finally:
            process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids.read_text().split()))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[..., list[str]]:
    """Returns a function that waits for trainings as another machine does; it is told so."""

    def wait(index: int, code: str = "code-1") -> list[str]:
        told: list[str] = []
        starts = functools.partial(launcher.start_worker, threads=0)
        arguments = (tmp_path / "meeting", index, code, starts, told.append)
        threading.Thread(target=attend, args=arguments, daemon=True).start()
        return told

    return wait


_ADDRESSES = ("run:1", "other:1", "third:1")


def test_workers_on_other_machines_come_when_they_are_called(working, elsewhere, tmp_path):
    working('Path(sys.argv[1], f"seen-{index}").write_text(os.environ["TF_CONFIG"])')
    told = [elsewhere(index) for index in (1, 2)]
    meeting = tmp_path / "meeting"
    for _ in range(2):
        assert train_with_workers(_TASK, 3, _ADDRESSES, meeting).best_epoch == 3
        assert {file.name for file in meeting.iterdir()} == {"seen-0", "seen-1", "seen-2"}
        for index in range(3):
            seen = json.loads((meeting / f"seen-{index}").read_text())
            assert seen["cluster"]["worker"] == list(_ADDRESSES)
            assert seen["task"]["index"] == index
    for index, lines in enumerate(told, start=1):
        until(lambda lines=lines: len(lines) == 5)
        assert lines[1:] == [f"Worker {index} of 3 begins.", f"Worker {index} has ended."] * 2


def test_a_worker_that_is_killed_elsewhere_is_called_again(working, elsewhere, tmp_path):
    working(
        'first = Path(sys.argv[1], f"first-{index}")\n    if not first.exists():\n'
        "        first.touch()\n"
        "        os.kill(os.getpid(), signal.SIGKILL) if index else time.sleep(60)"
    )
    elsewhere(1)
    warned: list[str] = []
    with progress.listening(lambda *_: None, lambda _, sentence: warned.append(sentence)):
        assert train_with_workers(_TASK, 2, _ADDRESSES[:2], tmp_path / "meeting").best_epoch == 3
    (sentence,) = warned
    assert sentence.startswith("Worker 1 of 2 was killed by SIGKILL")


def test_a_worker_that_does_not_come_is_named_and_waited_for(
    working, elsewhere, tmp_path, monkeypatch
):
    working('import time\n    while not Path(sys.argv[1], "all").exists(): time.sleep(0.1)')
    monkeypatch.setattr(launcher, "_OTHERS_COME_WITHIN", 1.0)
    elsewhere(1)
    warned: list[str] = []

    def warn(_: str, sentence: str) -> None:
        warned.append(sentence)
        elsewhere(2)
        (tmp_path / "meeting" / "all").touch()

    with progress.listening(lambda *_: None, warn):
        assert train_with_workers(_TASK, 3, _ADDRESSES, tmp_path / "meeting").best_epoch == 3
    (sentence,) = warned
    assert sentence.startswith("Worker 2 of 3 has not come. Start it on the machine of third:1: ")


def test_a_worker_with_other_code_ends_the_training(working, elsewhere, tmp_path):
    working("time.sleep(60)")
    elsewhere(1, "code-2")
    with pytest.raises(ConfigError, match="worker 1 to have the training code of the run"):
        train_with_workers(_TASK, 2, _ADDRESSES[:2], tmp_path / "meeting")


@pytest.mark.parametrize("task", [None, '{"a_field_of_another_version": 1}'])
def test_a_worker_outlives_a_training_that_is_over_or_of_another_version(tmp_path, task):
    if task:
        tmp_path.joinpath("task.json").write_text(task)
    (other,) = attendance.call(tmp_path, _ADDRESSES[:2])
    arguments = (tmp_path, 1, "code-1", launcher.start_worker, lambda _: None)
    waiting = threading.Thread(target=attend, args=arguments, daemon=True)
    waiting.start()
    if task:
        until(lambda: other.poll() == ConfigError.exit_code)
    waiting.join(1.0)
    assert waiting.is_alive()


def test_a_worker_too_many_is_told_so(working, elsewhere, tmp_path):
    working("pass")
    told = [elsewhere(index) for index in (1, 2)]
    assert train_with_workers(_TASK, 2, _ADDRESSES[:2], tmp_path / "meeting").best_epoch == 3
    until(lambda: len(told[1]) == 2)
    assert "Expected a training with a worker 2. Received:" in told[1][1]


def test_they_meet_in_a_folder_and_nowhere_else():
    for root in ("", "s3://bucket/checkpoints"):
        with pytest.raises(ConfigError, match=r"trainer\.checkpoint_folder to be a folder"):
            meeting_folder(root)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
