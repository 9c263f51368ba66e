"""The files of a request log: whole ones, and the one that a writer is at."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from components.contracts.request_log.framing import (
    CutOff,
    DamagedRecord,
    read_frames,
    whole_length,
)
from components.contracts.request_log.records import AnsweredCover, parse_record
from components.support.errors import ConfigError

_PREFIX, _WHOLE, _PARTIAL = "requests-", ".tfrecord", ".tfrecord.partial"


def whole_files(folder: Path) -> list[Path]:
    """Lists the files that their writers have finished, oldest first."""
    return sorted(folder.glob(f"{_PREFIX}*{_WHOLE}"))


def partial_files(folder: Path) -> list[Path]:
    """Lists the files that writers are at, or were when they were killed."""
    return sorted(folder.glob(f"{_PREFIX}*{_PARTIAL}"))


def open_partial(folder: Path) -> tuple[Path, BinaryIO]:
    """Makes a new file, unbuffered, and locks it: that is how others know that its writer lives.

    Raises:
        OSError: the machine refuses.
    """
    while True:
        # The clock is in the name, so that names are in the order of time.
        path = folder / f"{_PREFIX}{time.time_ns():020d}-{secrets.token_hex(4)}{_PARTIAL}"
        file = path.open("xb", buffering=0)
        try:
            if _lock(file) and os.fstat(file.fileno()).st_nlink:
                return path, file
        except BaseException:
            file.close()
            raise
        file.close()  # another writer took it for one of a killed writer


def finish_partial(path: Path) -> None:
    """Gives a file the name of a whole one."""
    path.rename(path.with_name(path.name.removesuffix(_PARTIAL) + _WHOLE))


def clean_partials(folder: Path) -> None:
    """Makes whole files of what killed writers left, without the record that each was at.

    Raises:
        OSError: the machine refuses.
    """
    for path in partial_files(folder):
        try:
            file = path.open("r+b")
        except FileNotFoundError:  # another writer was faster
            continue
        with file:
            if not _lock(file):
                continue
            whole = whole_length(file)
            if whole:
                file.truncate(whole)
                finish_partial(path)
            else:
                path.unlink(missing_ok=True)


def read_log(folder: Path) -> Iterator[AnsweredCover | DamagedRecord | CutOff]:
    """Yields the records of a log, oldest file first, and what stands for those that are damaged.

    Raises:
        ConfigError: the folder holds no log, or a file of it cannot be read.
    """
    files = sorted([*whole_files(folder), *partial_files(folder)])
    if not files:
        found = "a folder without one" if folder.is_dir() else "no such folder"
        raise ConfigError(
            f"Expected a request log in {folder}. Received: {found}. A server keeps one with: "
            f"covers serve --log-requests {folder}"
        )
    for path in files:
        try:
            for content in read_frames(path):
                yield _parsed(content)
        except FileNotFoundError:  # its writer has just finished or dropped it
            continue
        except OSError as error:
            raise ConfigError(
                f"Expected {path} to be readable. Received: {error.strerror}. Run as a user who "
                "may read it."
            ) from error


def _parsed(content: bytes | DamagedRecord | CutOff) -> AnsweredCover | DamagedRecord | CutOff:
    if not isinstance(content, bytes):
        return content
    try:
        return parse_record(content)
    except ValueError:
        return DamagedRecord()


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
