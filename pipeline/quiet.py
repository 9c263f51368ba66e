"""Keeps the console for the user: what libraries print or log goes to a file."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def libraries_log_to(log_file: Path, for_user: TextIO) -> Iterator[TextIO]:
    """Sends stdout, stderr, logging and warnings of the whole process to a file.

    File descriptors are redirected too, since TensorFlow's C++ code writes to them.

    Args:
        log_file: appended to.
        for_user: standard output, standard error or any other stream.

    Yields:
        A stream that still writes where `for_user` wrote.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    stdout, stderr = sys.stdout, sys.stderr
    saved = [os.dup(1), os.dup(2)]
    for_user = _kept_open(for_user, dict(zip((1, 2), saved, strict=True)))
    root = logging.getLogger()
    previous_handlers, previous_level = root.handlers[:], root.level
    with log_file.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as log:
        handler = logging.StreamHandler(log)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            sys.stdout = sys.stderr = log
            root.handlers[:], root.level = [handler], logging.INFO
            logging.captureWarnings(True)
            with warnings.catch_warnings():
                yield for_user
        finally:
            logging.captureWarnings(False)
            root.handlers[:], root.level = previous_handlers, previous_level
            for_user.flush()
            sys.stdout, sys.stderr = stdout, stderr
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)


def _kept_open(stream: TextIO, copies: dict[int, int]) -> TextIO:
    try:
        copy = copies.get(stream.fileno())
    except (io.UnsupportedOperation, ValueError):
        copy = None
    if copy is None:
        return stream
    return open(copy, "w", buffering=1, encoding=stream.encoding, closefd=False)
