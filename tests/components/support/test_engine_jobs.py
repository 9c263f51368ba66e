"""A job does not stay on an engine when the run that waited for it has ended."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState

from components.support.engine_jobs import jobs_end_with_their_run
from components.support.signals import Interrupted


class _Job(PipelineResult):
    def __init__(self, state: str, error: BaseException | None) -> None:
        super().__init__(state)
        self.error = error
        self.is_cancelled = False

    def wait_until_finish(self, duration: int | None = None) -> str:
        if self.error:
            raise self.error
        return str(self.state)

    def cancel(self) -> None:
        self.is_cancelled = True
        raise ConnectionError("Cancelled, or not: whoever waits learns of the first error alone.")


class _Engine(PipelineRunner):
    def __init__(self, job: _Job) -> None:
        self.job = job

    def run_pipeline(self, pipeline: Any, options: Any) -> _Job:
        return self.job


def _run(job: _Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["covers"])
    with jobs_end_with_their_run(), beam.Pipeline(runner=_Engine(job)) as pipeline:
        _ = pipeline | beam.Create([1])


@pytest.mark.parametrize(
    ("state", "error", "is_cancelled"),
    [
        (PipelineState.RUNNING, Interrupted("SIGTERM"), True),
        (PipelineState.RUNNING, RuntimeError("the connection broke"), True),
        (PipelineState.FAILED, RuntimeError("the job failed"), False),
    ],
)
def test_what_runs_on_is_cancelled(
    state: str, error: BaseException, is_cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _Job(state, error)
    with pytest.raises(type(error), match=str(error)):
        _run(job, monkeypatch)
    assert job.is_cancelled == is_cancelled


def test_a_job_that_is_done_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = beam.Pipeline.__exit__
    job = _Job(PipelineState.DONE, None)
    _run(job, monkeypatch)
    assert not job.is_cancelled
    assert beam.Pipeline.__exit__ is before
