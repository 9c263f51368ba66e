"""A home folder for the libraries that insist on one."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile


def ensure_home() -> None:
    """Sets HOME to a private folder, removed at exit, where the system knows none for this user.

    A container started with a bare user number has neither HOME nor an entry in /etc/passwd, and
    libraries that TensorFlow Model Analysis imports then fail on `~`.
    """
    if os.path.expanduser("~") != "~":  # noqa: PTH111, since Path.expanduser raises instead
        return
    folder = tempfile.mkdtemp(prefix="covers-home-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["HOME"] = folder
