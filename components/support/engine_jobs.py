"""Ends the job of an engine with the run or task that waits for it."""

from __future__ import annotations

import contextlib
import functools
import json
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

from components.support import progress

FLINK_REST = "covers_flink_rest"
"""Beam option: HOST:PORT of the REST API of the Flink cluster behind a job server.

Empty if that is not known; absent if no Flink is behind it.
"""

_SECONDS = 10.0
_FLINK_ENDED = ("FINISHED", "FAILED", "CANCELED")


@contextlib.contextmanager
def jobs_end_with_their_run() -> Iterator[None]:
    """Cancels jobs that are still on an engine when nobody waits for them any longer.

    Beam leaves a job running if a signal, or a broken connection, ends the wait for it. Beam's
    job server for Flink, asked to cancel a job, forgets it, and the cluster goes on: there the job
    is cancelled by its name, which is given to it here. That for Spark cancels it.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import GoogleCloudOptions

    _flink_options()
    original = beam.Pipeline.__exit__

    def leave(pipeline: Any, *raised: Any) -> Any:
        named = pipeline.options.view_as(GoogleCloudOptions)
        named.job_name = f"{named.job_name or 'covers'}-{uuid.uuid4().hex[:12]}"
        try:
            return original(pipeline, *raised)
        except BaseException:
            _cancel(pipeline, named.job_name)
            raise

    beam.Pipeline.__exit__ = leave
    try:
        yield
    finally:
        beam.Pipeline.__exit__ = original


@functools.lru_cache
def _flink_options() -> type[Any]:
    """Returns the class that makes Beam understand `FLINK_REST`."""
    from apache_beam.options.pipeline_options import PipelineOptions

    class FlinkClusterOptions(PipelineOptions):
        @classmethod
        def _add_argparse_args(cls, parser: Any) -> None:
            parser.add_argument(f"--{FLINK_REST}")

    return FlinkClusterOptions


def _cancel(pipeline: Any, name: str) -> None:
    """Cancels a job that has not ended; an engine that does not answer changes nothing."""
    from apache_beam.options.pipeline_options import PortableOptions
    from apache_beam.runners.runner import PipelineState

    rest = getattr(pipeline.options.view_as(_flink_options()), FLINK_REST)
    job: Any = getattr(pipeline, "result", None)
    runs_on, is_cancelled = job is not None, False
    with contextlib.suppress(Exception):
        runs_on = runs_on and not PipelineState.is_terminal(job.state)
    with contextlib.suppress(Exception):
        if runs_on:
            job.cancel()
            is_cancelled = True
    if rest:
        _cancel_on_flink(rest, name)
        return
    has_server = pipeline.options.view_as(PortableOptions).job_endpoint
    if runs_on and has_server and not (is_cancelled and rest is None):
        remedy = "" if rest is None else " Where engine.flink.rest is set, covers does so."
        progress.warn(
            "Engine",
            f"Beam's job server may have left the job {name} on the cluster: look, and cancel it "
            f"there.{remedy}",
        )


def _cancel_on_flink(rest: str, name: str) -> None:
    """Cancels the jobs of a name that have not ended."""
    try:
        for job in json.loads(_ask(f"http://{rest}/jobs/overview"))["jobs"]:
            if job["name"] == name and job["state"] not in _FLINK_ENDED:
                _ask(f"http://{rest}/jobs/{job['jid']}?mode=cancel", "PATCH")
    except (OSError, ValueError, KeyError, TypeError) as error:
        progress.warn(
            "Engine",
            f"The job {name} could not be cancelled at {rest}: {error}. Cancel it there if it is "
            "still running.",
        )


def _ask(url: str, method: str = "GET") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=_SECONDS) as r:
        return bytes(r.read())
