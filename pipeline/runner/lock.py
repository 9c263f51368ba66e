"""Keeps two commands out of one pipeline root, and knows which one is in it.

The lock dies with its process. The file then still says which folder of temporary files the
process had, so that the next one can remove it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from components.support.errors import ConfigError

LOCK_FILE = ".lock"

_TEMPORARY_PREFIX = "covers-run-"
_ATTEMPTS = 5  # `holder` takes the lock for an instant
_SECONDS_BETWEEN_ATTEMPTS = 0.05


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who is in a pipeline root.

    Attributes:
        pid: its process.
        started: when it began.
        run_id: the run's identity; empty if it is not a run.
        pipeline: the run's pipeline; empty if it is not a run.
        temporary: the run's folder for temporary files; empty if it is not a run.
        left_over: such folders of processes that died.
    """

    pid: int
    started: datetime.datetime
    run_id: str = ""
    pipeline: str = ""
    temporary: str = ""
    left_over: tuple[str, ...] = ()

    def __str__(self) -> str:
        today = self.started.date() == datetime.date.today()
        when = f"at {self.started:%H:%M}" if today else f"on {self.started:%Y-%m-%d at %H:%M}"
        what = "a run" if self.run_id else "`covers prune`"
        return f"{what} that process {self.pid} started {when}"


@contextlib.contextmanager
def hold_root(root: Path, *, run_id: str = "", pipeline: str = "") -> Iterator[None]:
    """Keeps other commands out of a pipeline root, and a run's temporary files in one folder.

    Args:
        root: the pipeline root; made if there is none.
        run_id: the run's identity; empty if it is not a run.
        pipeline: the run's pipeline.

    Raises:
        ConfigError: another command is using the root, or it cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / LOCK_FILE).open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"Expected a writable pipeline root. Received: {error}. "
            "Choose another with --pipeline-root."
        ) from error
    with file:
        if not _acquire(file, fcntl.LOCK_EX):
            raise ConfigError(
                f"Expected no other run in {root}. Received: "
                f"{_read(file) or 'one that is still running'}. "
                "Wait for it, or choose another folder with --pipeline-root."
            )
        left_over = _left_over(_read(file))
        with _temporary_files(wanted=bool(run_id)) as temporary:
            started = datetime.datetime.now()
            _write(file, Holder(os.getpid(), started, run_id, pipeline, temporary, left_over))
            yield


def holder(root: Path) -> Holder | None:
    """Returns who is in a pipeline root now; None if nobody is, or if it is not known."""
    try:
        file = (root / LOCK_FILE).open(encoding="utf-8")
    except OSError:
        return None
    with file:
        return None if _acquire(file, fcntl.LOCK_SH) else _read(file)


def temporary_left_over(root: Path) -> list[Path]:
    """Lists the folders for temporary files of processes that died in a pipeline root.

    Whoever asks is in the root.
    """
    with (root / LOCK_FILE).open(encoding="utf-8") as file:
        here = _read(file)
    return [Path(folder) for folder in here.left_over] if here else []


def _acquire(file: TextIO, kind: int) -> bool:
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
    return False


def _read(file: TextIO) -> Holder | None:
    try:
        file.seek(0)
        fields = json.load(file)
        started = datetime.datetime.fromisoformat(fields.pop("started"))
        return Holder(started=started, **{**fields, "left_over": tuple(fields["left_over"])})
    except (OSError, ValueError, LookupError, TypeError):  # empty, or written by another version
        return None


def _write(file: TextIO, who: Holder) -> None:
    # A full disk must not keep `covers prune` from making room.
    with contextlib.suppress(OSError):
        file.truncate(0)
        json.dump({**dataclasses.asdict(who), "started": who.started.isoformat()}, file)
        file.flush()


def _left_over(before: Holder | None) -> tuple[str, ...]:
    """Returns which folders a process that died had, or knew of, and which are still there."""
    folders = map(Path, (*before.left_over, before.temporary) if before else ())
    return tuple(
        str(folder)
        for folder in folders
        if folder.name.startswith(_TEMPORARY_PREFIX) and folder.is_dir()
    )


@contextlib.contextmanager
def _temporary_files(*, wanted: bool) -> Iterator[str]:
    """Has all temporary files made in a new folder, by this process and those that it starts."""
    if not wanted:
        yield ""
        return
    try:
        folder = tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX)
    except OSError as error:
        raise ConfigError(
            f"Expected room for temporary files. Received: {error}. "
            "Make some, or name another folder in the environment variable TMPDIR."
        ) from error
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        if variable is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = variable
        shutil.rmtree(folder, ignore_errors=True)
