"""What goes wrong around a run: one clear sentence, the right exit code, and a way on."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.tiny import Runs, TinyPipeline

pytestmark = pytest.mark.slow

LONGEST = 60  # lines of a console


@pytest.fixture(scope="module")
def pushed(
    runs: Runs, tiny_covers: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TinyPipeline, Path]:
    """A pipeline that has pushed a model, and a copy of its root."""
    folder = tmp_path_factory.mktemp("pushed")
    tiny = TinyPipeline(runs, folder, tiny_covers)
    code, seen = tiny.run()
    assert code == 0, seen
    copy = shutil.copytree(tiny.root, folder / "copy")
    return tiny, Path(copy)


@pytest.fixture
def finished(pushed: tuple[TinyPipeline, Path]) -> TinyPipeline:
    """A pipeline that has pushed a model."""
    tiny, copy = pushed
    shutil.rmtree(tiny.root)
    shutil.copytree(copy, tiny.root)
    return tiny


@pytest.fixture
def small_disk(pushed: tuple[TinyPipeline, Path]) -> Iterator[TinyPipeline]:
    """The same, on a disk of 60 MB."""
    tiny, copy = pushed
    shutil.rmtree(tiny.root)
    tiny.root.mkdir()
    with _mounted(tiny.root, 60):
        shutil.copytree(copy, tiny.root, dirs_exist_ok=True)
        yield tiny


@contextlib.contextmanager
def _mounted(folder: Path, megabytes: int) -> Iterator[None]:
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "covers-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def _memory_group(limit: int) -> Iterator[Callable[[int], None]]:
    """Yields what puts a process where it may use this many bytes beyond what it has."""
    controllers = Path("/sys/fs/cgroup")
    version_1 = controllers / "memory"
    folder = (version_1 if version_1.is_dir() else controllers) / f"covers-test-{os.getpid()}"
    name = "memory.limit_in_bytes" if version_1.is_dir() else "memory.max"
    try:
        folder.mkdir()
        (folder / name).write_text(str(limit))
    except OSError:
        pytest.skip("only root can limit the memory of a process here")
    try:
        yield lambda pid: _add(folder / "cgroup.procs", pid)
    finally:
        folder.rmdir()


def _add(members: Path, pid: int) -> None:
    members.write_text(str(pid))


def _wait_for(text: str, tiny: TinyPipeline, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while text not in tiny.log():
        assert time.monotonic() < deadline, tiny.log()[-2000:]
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_run_with_a_verdict_and_a_report(
    tiny: TinyPipeline, number: signal.Signals
) -> None:
    pid, output = tiny.start()
    _wait_for("Component Trainer is running", tiny)
    os.kill(pid, number)
    code, seen = tiny.finish(pid, output)
    assert code == 130
    assert "INTERRUPTED" in seen
    assert f"Interrupted by {number.name}. Run again" in seen
    (past,) = tiny.past()
    assert past["outcome"] == "interrupted"
    assert tiny.report().is_file()


def test_the_second_signal_ends_it_at_once(tiny: TinyPipeline) -> None:
    pid, output = tiny.start()
    _wait_for("Component Trainer is running", tiny)
    os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    os.kill(pid, signal.SIGINT)
    code, seen = tiny.finish(pid, output)
    assert code == 130
    assert "INTERRUPTED" in seen


def test_a_closed_terminal_does_not_end_a_run(tiny: TinyPipeline, runs: Runs) -> None:
    """As after `covers run | head -1`: nobody reads any more, and the run goes on to its end."""
    fifo = tiny.config.with_name("fifo")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    arguments = ["run", "--config", str(tiny.config), "--pipeline-root", str(tiny.root)]
    pid = runs.start([*arguments, "--set", "sample.images=100"], fifo)
    _wait_for("Component CoverExampleGen is running", tiny)
    os.close(reader)
    assert runs.wait(pid) == 0
    (past,) = tiny.past()
    assert past["outcome"] == "pushed"
    assert tiny.report().is_file()


def test_a_report_that_fails_after_the_push_does_not_change_the_verdict(
    finished: TinyPipeline,
) -> None:
    shutil.rmtree(finished.folder / "ReportGen")
    (finished.folder / "ReportGen").write_text("in the way")
    before = finished.versions()
    code, seen = finished.run("--set", "trainer.epochs=1")
    assert code == 0
    assert "PUSHED to" in seen
    assert "After that: " in seen
    assert len(finished.versions()) == len(before) + 1
    past = finished.past()[0]
    assert past["outcome"] == "pushed"
    assert finished.report().is_file()


def _fill(disk: Path, free: int) -> Path:
    filler = disk / "filler"
    filler.write_bytes(b"\0" * (shutil.disk_usage(disk).free - free))
    return filler


@pytest.mark.parametrize("free", [0, 300_000])
def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_space(
    small_disk: TinyPipeline, free: int
) -> None:
    before = small_disk.versions()
    filler = _fill(small_disk.root, free)
    code, seen = small_disk.run("--set", "trainer.epochs=1")
    assert code == 1, seen
    assert "No space left on device" in seen
    assert "FAILED" in seen
    assert len(seen.splitlines()) < LONGEST
    assert small_disk.versions() == before
    filler.unlink()
    code, seen = small_disk.run("--set", "trainer.epochs=1")
    assert code == 0, seen
    assert len(small_disk.versions()) == len(before) + 1


def test_a_full_push_destination_is_named(finished: TinyPipeline, tmp_path: Path) -> None:
    before = finished.versions()
    copy = shutil.copytree(finished.serving, tmp_path / "serving")
    with _mounted(finished.serving, 8):
        shutil.copytree(copy, finished.serving, dirs_exist_ok=True)
        filler = _fill(finished.serving, 1000)
        code, seen = finished.run("--set", "trainer.epochs=1")
        assert code == 1
        assert "No space left on device" in seen
        assert "network" not in seen
        names = {path.name for path in finished.serving.iterdir()}
        assert names == {"filler", *map(str, before)}
        filler.unlink()
        code, seen = finished.run("--set", "trainer.epochs=1")
        assert code == 0, seen
        assert len(finished.versions()) == len(before) + 1


def test_a_full_folder_for_temporary_files_is_named(tiny: TinyPipeline, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with _mounted(temporary, 1):
        _fill(temporary, 20_000)
        code, seen = tiny.run(TMPDIR=str(temporary))
        assert code in (1, 2), seen
        assert str(temporary) in seen
        assert "No space left on device" in seen
        assert {path.name for path in temporary.iterdir()} == {"filler"}


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def _overwrite(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[8192:20480] = os.urandom(12288)
    file.write_bytes(content)


def test_a_run_without_address_space_names_memory(tiny: TinyPipeline) -> None:
    pid, output = tiny.start()
    _wait_for("Component CoverExampleGen is running", tiny)
    pages, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    limit = int(pages) * resource.getpagesize() + (40 << 20)
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    code, seen = tiny.finish(pid, output)
    # Where Python has an exception, C++ aborts or crashes, and the dynamic loader exits with 127.
    assert code in (1, 127, -signal.SIGABRT, -signal.SIGSEGV), seen
    if code == 1:
        assert "Expected enough memory" in seen, seen + tiny.log()[-4000:]
    code, seen = tiny.run()
    assert code == 0, seen
    assert len(tiny.versions()) == 1


@pytest.mark.parametrize("stage", ["CoverExampleGen", "Trainer"])
def test_a_run_that_the_kernel_kills_for_memory_goes_on(tiny: TinyPipeline, stage: str) -> None:
    with _memory_group(1 << 20) as add:
        pid, output = tiny.start()
        _wait_for(f"Component {stage} is running", tiny)
        add(pid)
        code, _ = tiny.finish(pid, output)
    assert code == -signal.SIGKILL
    assert tiny.versions() == []
    code, seen = tiny.run()
    assert code == 0, seen
    assert len(tiny.versions()) == 1


def test_a_damaged_history_is_named_with_the_way_on(finished: TinyPipeline) -> None:
    before = finished.versions()
    database = finished.root / "metadata.sqlite"
    for damage in (_overwrite, _cut, lambda file: file.write_text("no database" * 100)):
        damage(database)
        for command in ("run", "runs", "report", "diagnose"):
            code, seen = finished.run() if command == "run" else finished.command(command)
            assert code == 1
            assert f"Expected the history of runs in {database}" in seen
            assert "mv metadata.sqlite metadata.sqlite.damaged" in seen
    database.rename(database.with_suffix(".sqlite.damaged"))
    code, seen = finished.run()
    assert code == 0, seen
    assert "CoverExampleGen   done" in seen
    assert finished.versions() == before


def test_a_damaged_live_model_is_named_before_training(finished: TinyPipeline) -> None:
    (version,) = finished.versions()
    damaged = finished.serving / str(version) / "assets.extra" / "covers.json"
    damaged.unlink()
    code, seen = finished.run("--set", "trainer.epochs=1")
    assert code == 1
    assert str(damaged.parents[1]) in seen
    assert "Trainer" not in seen
    shutil.rmtree(damaged.parents[1])
    code, seen = finished.run("--set", "trainer.epochs=1")
    assert code == 0, seen


def test_a_second_run_is_refused_while_readers_work(tiny: TinyPipeline) -> None:
    pid, output = tiny.start()
    _wait_for("Component CoverExampleGen is running", tiny)
    code, seen = tiny.run()
    assert code == 2
    assert "Expected no other run" in seen
    assert tiny.command("runs")[0] == 0
    assert tiny.finish(pid, output)[0] == 0
