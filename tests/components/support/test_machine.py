from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from components.support.errors import ConfigError, MachineError
from components.support.machine import machine_error


def _raised(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (_raised(errno.ENOSPC, "/data/a"), "free space on the disk of /data/a"),
        (_raised(errno.EDQUOT, "/data/a"), "Disk quota exceeded"),
        (_raised(errno.EROFS, "/data/a"), "Read-only file system"),
        (_raised(errno.EACCES, "/data/a"), "permission to write or read /data/a"),
        (_raised(errno.EIO, "/data/a"), "Check the disk"),
        (_raised(errno.EMFILE), "ulimit -n"),
        (MemoryError(), "smaller trainer.batch_size"),
        (RuntimeError("can't start new thread [while running 'Read']"), "Expected enough memory"),
        (RuntimeError("Resource temporarily unavailable"), "Expected enough memory"),
        (
            ImportError("libx.so: failed to map segment from shared object"),
            "Expected enough memory",
        ),
        (RuntimeError("OOM when allocating tensor with shape[9,9]"), "Expected enough memory"),
        (
            RuntimeError("Error when executing: database or disk is full query: /x/y"),
            "disk of /tmp",
        ),
        (
            RuntimeError("/data/x.tfrecord; No space left on device [Op:Save]"),
            "of /data/x.tfrecord",
        ),
        (ValueError("Unable to write (file write failed: errno = 28, error message = '..')"), "MB"),
        (RuntimeError("Cannot connect sqlite3: attempt to write a readonly database"), "Read-only"),
    ],
)
def test_what_the_machine_refused_is_one_sentence_with_a_remedy(
    error: BaseException, said: str, tmp_path: Path
) -> None:
    found = machine_error(error, tmp_path)
    assert isinstance(found, MachineError)
    assert said in str(found)
    assert "\n" not in str(found)


def test_the_cause_is_found_below_what_libraries_make_of_it() -> None:
    wrapper = RuntimeError("[while running 'WriteShards']")
    wrapper.__cause__ = _raised(errno.ENOSPC, "/data/a")
    assert "/data/a" in str(machine_error(wrapper))


def test_other_errors_are_not_the_machines() -> None:
    assert machine_error(ValueError("a label of another shape")) is None
    assert machine_error(FileNotFoundError(errno.ENOENT, "gone", "/data/a")) is None
    assert machine_error(ConfigError("Permission denied by the configuration")) is None
