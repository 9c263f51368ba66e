"""Progress of long work inside a node, for whoever is watching.

A node reports; the runner listens. Without a listener the reports go to the log, at most one
every ten seconds, so that a container's log shows that the work is alive.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

Listener = Callable[[str, int, int, str], None]
WarningListener = Callable[[str, str], None]

_LOG_INTERVAL_SECONDS = 10.0


def report(stage: str, done: int, total: int, detail: str = "") -> None:
    """Tells the listener that `done` of `total` units of a stage's work are finished.

    A total of 0 means that nobody knows it yet.
    """
    _listener(stage, done, total, detail)


def warn(stage: str, sentence: str) -> None:
    """Tells the listener about something worth knowing while the work goes on."""
    _warning_listener(stage, sentence)


def start(stage: str, total: int, unit: str) -> None:
    """Starts counting at none of `total` units, such as "covers checked"."""
    with _lock:
        _counts[stage] = _Count(total, unit)
        report(stage, 0, total, _counts[stage].text())


def advance(stage: str, amount: int) -> None:
    """Counts `amount` more finished units; for work that several threads share."""
    with _lock:
        if count := _counts.get(stage):
            count.done += amount
            report(stage, count.done, count.total, count.text())


@contextlib.contextmanager
def listening(listener: Listener, warned: WarningListener | None = None) -> Iterator[None]:
    """Sends reports to `listener(stage, done, total, detail)` inside the block.

    Args:
        listener: receives reports.
        warned: receives warnings, `(stage, sentence)`; None leaves them to the log.
    """
    global _listener, _warning_listener
    previous = _listener, _warning_listener
    _listener, _warning_listener = listener, warned or _log_warning
    try:
        yield
    finally:
        _listener, _warning_listener = previous


class _Count:
    def __init__(self, total: int, unit: str) -> None:
        self.total = total
        self.done = 0
        self._unit = unit
        self._started = time.monotonic()

    def text(self) -> str:
        """Says how many units are finished, and how many per second or the seconds of each."""
        text = f"{self.done:,} / {self.total:,} {self._unit}"
        seconds = time.monotonic() - self._started
        if not self.done or seconds <= 0.1:
            return text
        if seconds > self.done:
            return f"{text}, {_short(seconds / self.done)} s each"
        return f"{text}, {_short(self.done / seconds)}/s"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10.0 else f"{number:.1f}"


class _LogListener:
    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self, stage: str, done: int, total: int, detail: str) -> None:
        now = time.monotonic()
        if (not total or done < total) and now - self._last < _LOG_INTERVAL_SECONDS:
            return
        self._last = now
        logging.getLogger("covers").info("%s %d/%d %s", stage, done, total, detail)


def _log_warning(stage: str, sentence: str) -> None:
    logging.getLogger("covers").warning("%s: %s", stage, sentence)


_listener: Listener = _LogListener()
_warning_listener: WarningListener = _log_warning
_lock = threading.RLock()
_counts: dict[str, _Count] = {}
