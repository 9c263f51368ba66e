"""Ends the job of an engine with the run or task that waits for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def jobs_end_with_their_run() -> Iterator[None]:
    """Cancels jobs that are still on an engine when nobody waits for them any longer.

    Beam leaves a job running if a signal, or a broken connection, ends the wait for it.
    """
    import apache_beam as beam

    original = beam.Pipeline.__exit__

    def leave(pipeline: Any, *raised: Any) -> Any:
        try:
            return original(pipeline, *raised)
        except BaseException:
            _cancel(getattr(pipeline, "result", None))
            raise

    beam.Pipeline.__exit__ = leave
    try:
        yield
    finally:
        beam.Pipeline.__exit__ = original


def _cancel(result: Any) -> None:
    """Cancels a job that has not ended; an engine that does not answer changes nothing."""
    from apache_beam.runners.runner import PipelineState

    with contextlib.suppress(Exception):
        if result is not None and not PipelineState.is_terminal(result.state):
            result.cancel()
