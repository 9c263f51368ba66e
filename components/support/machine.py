"""Says in one sentence what the machine refused: disk, memory, permissions."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from components.support.errors import CoversError, MachineError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FAILED = (errno.EIO, errno.ESTALE, errno.EUCLEAN)
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
_REFUSED = (*_FULL, *_DENIED, *_FAILED, *_TOO_MANY_FILES, errno.ENOMEM)
_LEAST_FREE = 1 << 20

# Libraries that write files in C or C++ tell the reason only in the text of their own errors.
_TEXTS = {
    errno.ENOSPC: "No space left on device|database or disk is full|errno = 28",
    errno.EDQUOT: "Disk quota exceeded",
    errno.EROFS: "Read-only file system|attempt to write a readonly database",
    errno.EACCES: "Permission denied|errno = 13|unable to open database file",
    errno.EIO: "Input/output error|disk I/O error",
    # A thread, a fork or a shared library for which there is no address space is not called memory.
    errno.ENOMEM: "OOM when allocating|Cannot allocate memory|bad_alloc|can't start new thread"
    "|Resource temporarily unavailable|failed to map segment|Unable to allocate",
    errno.EMFILE: "Too many open files",
}
_PATH = re.compile(r"(?<![\w:/])/[^\s'\";:,]+")


def machine_error(error: BaseException, *folders: Path) -> MachineError | None:
    """Returns the project's error for what the machine refused, or None if it was not that.

    Args:
        error: what a library or Python raised; its causes are looked at as well.
        folders: where files were being written, to look for the full disk.
    """
    for each in _chain(error):
        if isinstance(each, CoversError) and not isinstance(each, MachineError):
            return None
        if isinstance(each, MemoryError):
            return _explain(errno.ENOMEM, None, folders)
        if isinstance(each, OSError) and each.errno in _REFUSED:
            return _explain(each.errno, each.filename, folders)
        for number, texts in _TEXTS.items():
            if re.search(texts, str(each)):
                # The text of a query may hold any other path.
                path = _PATH.search(str(each).partition("query:")[0])
                return _explain(number, path and path.group(), folders)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _explain(
    number: int, path: str | bytes | os.PathLike[str] | int | None, folders: tuple[Path, ...]
) -> MachineError:
    what = os.strerror(number)
    file = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    if number in _FULL:
        folder = _full_folder(Path(file) if file else None, folders)
        free = shutil.disk_usage(folder).free / 1e6
        return MachineError(
            f"Expected free space on the disk of {file or folder}. Received: {what} "
            f"({free:,.0f} MB are free). Free some and run again: finished stages are kept."
        )
    where = file or ", ".join(map(str, folders)) or "a file"
    if number in _DENIED:
        return MachineError(
            f"Expected permission to write or read {where}. Received: {what}. Change its owner or "
            "permissions, or choose another folder."
        )
    if number == errno.ENOMEM:
        return MachineError(
            f"Expected enough memory. Received: {what}. Close other programs, or choose a smaller "
            "trainer.batch_size or trainer.image_size, and run again: finished stages are kept."
        )
    if number in _TOO_MANY_FILES:
        return MachineError(
            f"Expected to open one more file. Received: {what}. Raise the limit (ulimit -n 4096) "
            "and run again."
        )
    return MachineError(
        f"Expected a disk that can be read and written at {where}. Received: {what}. Check the "
        "disk and its connection, and run again."
    )


def _full_folder(file: Path | None, folders: tuple[Path, ...]) -> Path:
    candidates = [*([file] if file else []), *folders, Path(tempfile.gettempdir())]
    existing = [_existing(candidate) for candidate in candidates]
    full = (path for path in existing if shutil.disk_usage(path).free < _LEAST_FREE)
    return next(full, existing[0])


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())
