"""Keeps the console for the user: what libraries print, log or warn about goes elsewhere."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_ML_METADATA_LOG_LEVEL = "GLOG_minloglevel"
_FATAL_ONLY = "3"
_FILTER = r"""
import re, sys
chatter = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:\d\d|WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions:"
)
for line in sys.stdin.buffer:
    if not chatter.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""
_FILTER_ENDS_WITHIN = 5.0


@contextlib.contextmanager
def third_parties_quiet() -> Iterator[None]:
    """Keeps libraries' warnings and TensorFlow's start-up lines off standard error.

    The C++ code of TensorFlow 2.21 writes information and warnings to descriptor 2 before it
    knows of TF_CPP_MIN_LOG_LEVEL. Another process filters them out, so that everything else gets
    through, even the last words of a process that aborts. Setting the variable to 0 or 1 shows
    everything.
    """
    _open_standard_descriptors()
    if os.environ.setdefault(_LOG_LEVEL, "3") in ("0", "1"):
        yield
        return
    # What ML Metadata logs as an error is an exception as well.
    os.environ.setdefault(_ML_METADATA_LOG_LEVEL, _FATAL_ONLY)
    with warnings.catch_warnings(), _filtered_descriptor_2():
        warnings.simplefilter("ignore")
        yield


def _open_standard_descriptors() -> None:
    """Gives a process that was started with closed ones somewhere to write to."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            setattr(
                sys, name, os.fdopen(descriptor, "r" if descriptor == 0 else "w", closefd=False)
            )


@contextlib.contextmanager
def _filtered_descriptor_2() -> Iterator[None]:
    sys.stderr.flush()
    stderr, original = sys.stderr, os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    # In a session of its own, Ctrl-C does not end it before it has passed everything on.
    chatter = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    assert chatter.stdin is not None
    try:
        os.dup2(chatter.stdin.fileno(), 2)
        sys.stderr = _kept_open(stderr, {2: original})
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = stderr
        os.dup2(original, 2)
        os.close(original)
        chatter.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a child process keeps the pipe open
            chatter.wait(_FILTER_ENDS_WITHIN)


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
    with _lasting_text(log_file, "utf-8") as log:
        handler = logging.StreamHandler(log)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            sys.stdout = sys.stderr = log
            root.handlers[:], root.level = [handler], logging.INFO
            logging.captureWarnings(True)
            with warnings.catch_warnings():
                warnings.simplefilter("default")
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
    return _lasting_text(copy, stream.encoding)


def _lasting_text(file: Path | int, encoding: str) -> TextIO:
    raw = _Lasting(file, "a" if isinstance(file, Path) else "w", closefd=isinstance(file, Path))
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=True
    )


class _Lasting(io.FileIO):
    """Loses what cannot be written: a closed terminal or a full disk must not end the work."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes
