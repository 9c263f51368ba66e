"""A job does not stay on an engine when the run that waited for it has ended."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import apache_beam as beam
import pytest
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState

from components.support import progress
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


class _Flink(http.server.BaseHTTPRequestHandler):
    jobs: ClassVar[list[dict[str, str]]] = []
    cancelled: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        assert self.path == "/jobs/overview"
        self._answer(json.dumps({"jobs": self.jobs}).encode())

    def do_PATCH(self) -> None:
        self.cancelled.append(self.path)
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


class _FlinkJob(_Job):
    """A job whose name and state the cluster knows, while its job server has forgotten it."""

    def submitted(self, name: str) -> None:
        others = [("job-2", "another"), ("job-3", f"{name}2")]
        _Flink.jobs = [
            {"jid": jid, "name": each, "state": "RUNNING"}
            for jid, each in [("job-1", name), *others]
        ]


@pytest.fixture
def flink() -> Iterator[str]:
    _Flink.cancelled.clear()
    with http.server.ThreadingHTTPServer(("localhost", 0), _Flink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"localhost:{server.server_port}"
        server.shutdown()


def _run_on_flink(job: _FlinkJob, *arguments: str) -> None:
    from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

    class Engine(PipelineRunner):
        def run_pipeline(self, pipeline: Any, options: Any) -> _Job:
            job.submitted(options.view_as(GoogleCloudOptions).job_name)
            return job

    with jobs_end_with_their_run():
        options = PipelineOptions(list(arguments))
        with beam.Pipeline(runner=Engine(), options=options) as pipeline:
            _ = pipeline | beam.Create([1])


def test_a_job_of_flink_is_cancelled_on_the_cluster_by_its_name(
    flink: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["covers"])
    job = _FlinkJob(PipelineState.RUNNING, Interrupted("SIGTERM"))
    with pytest.raises(Interrupted):
        _run_on_flink(job, f"--covers_flink_rest={flink}")
    assert job.is_cancelled
    assert _Flink.cancelled == ["/jobs/job-1?mode=cancel"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--covers_flink_rest=localhost:1"], "could not be cancelled at localhost:1"),
        (
            ["--job_endpoint=jobs:8099", "--covers_flink_rest="],
            r"may have left the job covers-.* on the cluster: .* Where engine\.flink\.rest is set",
        ),
        (["--job_endpoint=jobs:8099"], r"may have left the job covers-.* and cancel it there\.$"),
    ],
)
def test_a_job_that_may_go_on_is_named_and_the_first_error_stays(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["covers"])
    said: list[str] = []
    with (
        progress.listening(lambda *_: None, lambda _, sentence: said.append(sentence)),
        pytest.raises(Interrupted),
    ):
        _run_on_flink(_FlinkJob(PipelineState.RUNNING, Interrupted("SIGTERM")), *arguments)
    assert len(said) == 1
    assert re.search(sentence, said[0])


class _SparkJob(_FlinkJob):
    """A job whose job server cancels it."""

    def cancel(self) -> None:
        self.is_cancelled = True


@pytest.mark.parametrize(("more", "is_named"), [([], False), (["--covers_flink_rest="], True)])
def test_only_the_job_server_for_flink_is_not_believed(
    more: list[str], is_named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["covers"])
    said: list[str] = []
    job = _SparkJob(PipelineState.RUNNING, Interrupted("SIGTERM"))
    with (
        progress.listening(lambda *_: None, lambda _, sentence: said.append(sentence)),
        pytest.raises(Interrupted),
    ):
        _run_on_flink(job, "--job_endpoint=jobs:8099", *more)
    assert job.is_cancelled
    assert bool(said) == is_named


class _Unreachable(_FlinkJob):
    """A job whose job server is gone."""

    @property
    def state(self) -> str:
        raise ConnectionError("The job server does not answer.")


def test_a_job_whose_server_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["covers"])
    broken = _Unreachable(PipelineState.UNKNOWN, RuntimeError("the connection broke"))
    said: list[str] = []
    with (
        progress.listening(lambda *_: None, lambda _, sentence: said.append(sentence)),
        pytest.raises(RuntimeError, match="the connection broke"),
    ):
        _run_on_flink(broken, "--job_endpoint=jobs:8099")
    assert len(said) == 1
    assert re.search("may have left the job covers-.* on the cluster", said[0])
