"""Follows the stages of a TFX run through the log records of LocalDagRunner."""

from __future__ import annotations

import logging
from collections.abc import Callable

_RUNNING = "Component %s is running."
_FINISHED = "Component %s is finished."
_CACHED = "A cached execution %d is used."


class StageWatcher(logging.Handler):
    """Calls back as LocalDagRunner starts and finishes its nodes.

    LocalDagRunner has no hooks; its log records carry their format string and arguments, which
    have been the same in TFX 1.16 to 1.21.

    Attributes:
        running: the node that is running, or None.
    """

    def __init__(
        self, started: Callable[[str], None], finished: Callable[[str, str], None]
    ) -> None:
        super().__init__(logging.INFO)
        self._on_started = started
        self._on_finished = finished
        self._state = "done"
        self.running: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Turns the records of interest into calls."""
        if record.msg == _RUNNING:
            self.running = _node(record)
            self._state = "done"
            self._on_started(self.running)
        elif record.msg == _CACHED:
            self._state = "cached"
        elif record.msg == _FINISHED:
            self.running = None
            self._on_finished(_node(record), self._state)


def _node(record: logging.LogRecord) -> str:
    assert isinstance(record.args, tuple)
    return str(record.args[0])
