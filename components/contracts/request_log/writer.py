"""Writes the request log beside a server's answers, and never gets in their way."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from components.contracts.request_log.files import (
    clean_partials,
    finish_partial,
    open_partial,
    partial_files,
    whole_files,
)
from components.contracts.request_log.framing import framed
from components.contracts.request_log.records import Facts, serialized_record
from components.support.errors import ConfigError

_FILES = 16
"""In so many files the log is divided: at most so much of it is dropped at once."""

_logger = logging.getLogger("covers")


@dataclasses.dataclass(frozen=True)
class Counts:
    """What became of the covers handed to a log.

    Attributes:
        written: kept.
        passed_over: not drawn.
        failed: drawn, but not kept: the machine refused, or the image could not be cleaned.
    """

    written: int = 0
    passed_over: int = 0
    failed: int = 0


class RequestLog:
    """A sample of answered covers in a folder, of bounded total size; the oldest are dropped.

    Several writers, also of several processes, may share a folder. What a killed writer left is
    cleaned first.

    Args:
        folder: made if needed.
        share: of the covers, that are kept; 0 to 1.
        largest_bytes: of all files together.
        seed: of the draw.

    Raises:
        ConfigError: an option is wrong, or the folder cannot be written.
    """

    def __init__(self, folder: Path, *, share: float, largest_bytes: int, seed: int = 0) -> None:
        if not 0.0 <= share <= 1.0:
            raise ConfigError(f"Expected a share of requests from 0 to 1. Received: {share}.")
        if largest_bytes < 1:
            raise ConfigError(
                f"Expected a size of the request log of at least 1 byte. Received: {largest_bytes}."
            )
        self._folder = folder
        self._share = share
        self._largest_bytes = largest_bytes
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._size = 0
        self._counts = Counts()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            clean_partials(folder)
        except OSError as error:
            raise ConfigError(
                f"Expected a folder for the request log at {folder}. Received: {error.strerror}. "
                "Name another one, or make it writable."
            ) from error

    @property
    def counts(self) -> Counts:
        """What became of the covers so far."""
        return self._counts

    def record(
        self,
        encoded: bytes,
        facts: Facts | None,
        probabilities: Sequence[float],
        decisions: Sequence[Any],
        version: str | int,
    ) -> None:
        """Keeps an answered cover, if it is drawn. Raises nothing; any thread may call it.

        Args:
            encoded: the image as the model saw it, a JPEG or PNG; its metadata are not kept.
            facts: what is known about it, such as ingest's `ImageFacts`.
            probabilities: the answer, one for each genre.
            decisions: whether each genre was decided.
            version: the model version that answered.
        """
        try:
            with self._lock:
                is_drawn = self._random.random() < self._share
                if not is_drawn:
                    self._count(passed_over=1)
                    return
            content = serialized_record(
                encoded, facts, probabilities, decisions, version, time.time()
            )
            with self._lock:
                self._append(framed(content))
                self._count(written=1)
        except Exception as error:  # no answer may fail because of the log
            with self._lock:
                self._fail(error)

    def close(self) -> None:
        """Finishes the file at hand; raises nothing. What is recorded later opens a new one."""
        with self._lock, contextlib.suppress(OSError):
            self._finish()

    def _append(self, record: bytes) -> None:
        self._make_room(len(record))
        if self._file is None:
            self._path, self._file = open_partial(self._folder)
            self._size = 0
        rest = memoryview(record)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            os.ftruncate(self._file.fileno(), self._size)
            os.lseek(self._file.fileno(), self._size, os.SEEK_SET)
            raise
        self._size += len(record)
        if self._size * _FILES >= self._largest_bytes:
            self._finish()

    def _make_room(self, size: int) -> None:
        """Drops the oldest files until a record fits."""
        if size > self._largest_bytes:
            raise ValueError(f"a record of {size:,} bytes, more than the log may have")
        while self._total() + size > self._largest_bytes:
            oldest = next(iter(whole_files(self._folder)), None)
            if oldest:
                oldest.unlink(missing_ok=True)
            elif self._file:
                self._finish()
            else:
                raise ValueError("a log that other writers fill")

    def _total(self) -> int:
        total = 0
        for path in (*whole_files(self._folder), *partial_files(self._folder)):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def _finish(self) -> None:
        path, file = self._path, self._file
        self._path = self._file = None
        if path and file:
            with file:
                finish_partial(path)

    def _count(self, written: int = 0, passed_over: int = 0, failed: int = 0) -> None:
        counts = self._counts
        self._counts = Counts(
            counts.written + written, counts.passed_over + passed_over, counts.failed + failed
        )

    def _fail(self, error: Exception) -> None:
        self._count(failed=1)
        if self._counts.failed == 1:
            _logger.warning(
                "Expected to keep an answered cover in %s. Received: %s. Covers are answered even "
                "so; this is said once, and what is not kept is counted.",
                self._folder,
                error,
            )
