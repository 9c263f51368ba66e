"""Reads the files that rows name: regular, inside the data directory and of bounded size only.

No path can make ingest hang, leave the data directory or read without limit.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.locations import ABSOLUTE, URL, spellings

_GONE = (errno.ENOENT, errno.ENOTDIR)
# Opening a FIFO or a device must not wait for its other end.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 20
_NEVER_LISTED = ("", ".", "..")
_LONGEST_NAME = 255

T = TypeVar("T")


class DataDirectory:
    """The files below one directory.

    A folder in which a file was missing is listed, once: of a million rows whose files are missing,
    few are looked for on disk. What appears in it later is not seen.

    Args:
        root: the directory; symbolic links below it may not lead out of it.
        largest_file: greatest size of a file, bytes.
    """

    def __init__(self, root: Path, largest_file: int) -> None:
        self._root = os.path.realpath(root).rstrip("/")
        self.largest_file = largest_file
        self._folders: dict[str, str] = {}
        self._names: dict[str, frozenset[str]] = {}

    def read(self, path: str) -> tuple[str, bytes]:
        """Returns the path as it is on disk, relative to the directory, and the file's bytes.

        A path that names nothing is tried again with `/` for each backslash, and in the composed
        and decomposed forms of Unicode (NFC, NFD), which differ between file systems.

        Raises:
            RowRejected: there is no such file, or it may not be read.
        """
        return self._with_file(path, _content)

    def digest(self, path: str) -> str:
        """Returns the size and the sha256 of what `read` would return.

        Raises:
            RowRejected: as `read` does.
        """
        return self._with_file(path, _digest)[1]

    def _with_file(self, path: str, use: Callable[[int, int], T]) -> tuple[str, T]:
        """Returns the path as it is on disk, and what `use(descriptor, size)` makes of the file."""
        _check_path(path)
        missing: RowRejected | None = None
        for spelled in spellings(path):
            try:
                return spelled, self._with_opened(spelled, use)
            except RowRejected as rejected:
                if rejected.reason is not Reason.MISSING_FILE:
                    raise
                missing = missing or rejected
        assert missing is not None
        raise missing

    def _with_opened(self, path: str, use: Callable[[int, int], T]) -> T:
        try:
            descriptor = self._open(path)
        except OSError as error:
            raise _unreadable(error) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise RowRejected(
                    Reason.NOT_A_FILE,
                    f"Expected a regular file. Received: {_kind(status.st_mode)}.",
                )
            if status.st_size > self.largest_file:
                raise RowRejected(
                    Reason.FILE_TOO_LARGE,
                    f"Expected at most {self.largest_file:,} bytes, the schema's limit for "
                    f"image/size. Received: {status.st_size:,}.",
                )
            return use(descriptor, status.st_size)
        except OSError as error:
            raise _unreadable(error) from error
        finally:
            os.close(descriptor)

    def _open(self, path: str) -> int:
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._resolve(f"{self._root}/{folder}")
        file = f"{self._folders[folder]}/{name}"
        names = None if len(os.fsencode(name)) > _LONGEST_NAME else self._names.get(folder)
        if names is not None and _folded(name) not in names and name not in _NEVER_LISTED:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            return os.open(file, _FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno == errno.ENOENT:
                self._note_names(folder)
            if error.errno != errno.ELOOP:
                raise
        return os.open(self._resolve(file), _FLAGS)

    def _note_names(self, folder: str) -> None:
        try:
            with os.scandir(self._folders[folder]) as entries:
                self._names[folder] = frozenset(_folded(entry.name) for entry in entries)
        except OSError as error:
            if error.errno in _GONE:
                self._names[folder] = frozenset()

    def _resolve(self, path: str) -> str:
        """Follows symbolic links, which must not lead out of the data directory."""
        target = os.path.realpath(path)
        if f"{target}/".startswith(f"{self._root}/"):
            return target
        raise RowRejected(
            Reason.OUTSIDE_DATA_DIRECTORY,
            f"Expected a file inside the data directory. Received: {target!r}.",
        )


def _content(descriptor: int, size: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(size)


def _digest(descriptor: int, size: int) -> str:
    digest = hashlib.sha256()
    left = size
    while left and (chunk := os.read(descriptor, min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    return f"{size} {digest.hexdigest()}"


def _folded(name: str) -> str:
    # Some file systems take names that differ in case or in their form of Unicode for the same.
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _can_be_a_name(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _check_path(path: str) -> None:
    if not path:
        raise RowRejected(Reason.MALFORMED_ROW, "Expected the path of an image. Received: none.")
    if not _can_be_a_name(path):
        raise RowRejected(Reason.MALFORMED_ROW, "Expected a path. Received: half a character.")
    if "\0" in path:
        raise RowRejected(Reason.MALFORMED_ROW, "Expected a path. Received: one with a NUL.")
    if URL.match(path):
        raise RowRejected(
            Reason.OUTSIDE_DATA_DIRECTORY,
            "Expected a path relative to the data directory. Received: a URL; nothing is "
            "downloaded.",
        )
    if ABSOLUTE.match(path):
        raise RowRejected(
            Reason.OUTSIDE_DATA_DIRECTORY,
            "Expected a path relative to the data directory. Received: an absolute one.",
        )


def _unreadable(error: OSError) -> RowRejected:
    if error.errno in _GONE:
        return RowRejected(Reason.MISSING_FILE, "Expected a file. Received: nothing at that path.")
    if error.errno == errno.ENXIO:
        return RowRejected(Reason.NOT_A_FILE, "Expected a regular file. Received: a socket.")
    return RowRejected(
        Reason.UNREADABLE_FILE, f"Expected a readable file. Received: {error.strerror}."
    )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
