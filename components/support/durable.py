"""Files that are still there after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def sync_tree(folder: Path) -> None:
    """Waits until all files and folders at and below a folder are on the disk.

    Raises:
        OSError: the disk is full or failed.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, such as those that were renamed.

    Raises:
        OSError: the disk is full or failed.
    """
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
