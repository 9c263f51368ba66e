"""Passes answers on to whoever keeps them, without ever holding a request up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from pipeline.serving.answers import Answered
from pipeline.serving.metrics import Metrics

_MOST_BATCHES = 64


class AnswerListener:
    """Calls a function with each batch of answers, in a thread of its own.

    What the function is too slow for is dropped, what it raises is said once; both are counted.

    Args:
        on_answers: the function.
        metrics: counts what was not taken.
        say: prints a line.
    """

    def __init__(
        self,
        on_answers: Callable[[Sequence[Answered]], None],
        metrics: Metrics,
        say: Callable[[str], None],
    ) -> None:
        self._on_answers, self._metrics, self._say = on_answers, metrics, say
        self._batches: queue.Queue[Sequence[Answered] | None] = queue.Queue(_MOST_BATCHES)
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self._thread.start()

    def __call__(self, answers: Sequence[Answered]) -> None:
        """Takes a batch and returns at once."""
        try:
            self._batches.put_nowait(answers)
        except queue.Full:
            self._metrics.unseen.inc(len(answers))

    def stop(self, seconds: float) -> None:
        """Ends when what was taken has been passed on, or after some seconds."""
        try:
            self._batches.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _run(self) -> None:
        while (answers := self._batches.get()) is not None:
            try:
                self._on_answers(answers)
            except Exception as error:  # a listener's failure is not a client's
                self._metrics.unseen.inc(len(answers))
                message = f"{type(error).__name__}: {error}"
                if message != self._said:
                    self._say(f"answers could not be passed on: {message}")
                self._said = message
