"""The command `covers serve`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.models.places import Where, newest_place, where_options
from pipeline.serving.settings import ServingSettings
from pipeline.terminal import say

if TYPE_CHECKING:
    from pipeline.serving.answers import Answered

_PATH = click.Path(path_type=Path)
_DEFAULTS = ServingSettings()


@click.command()
@where_options
@click.option(
    "--model",
    type=_PATH,
    help="A SavedModel instead. It is code: give one that you trust.",
)
@click.option("--name", default=_DEFAULTS.name, show_default=True, help="The model's name in URLs.")
@click.option(
    "--host",
    default=_DEFAULTS.host,
    show_default=True,
    help="Address to listen at; 0.0.0.0 for all. There is no sign-in.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=_DEFAULTS.port,
    show_default=True,
    help="Port; 0 takes any that is free.",
)
@click.option(
    "--poll-seconds",
    type=click.FloatRange(min=0.1),
    default=_DEFAULTS.poll_seconds,
    show_default=True,
    help="How often to look for a newer version.",
)
@click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    default=_DEFAULTS.max_batch,
    show_default=True,
    help="Most images that the model is asked about at once.",
)
@click.option(
    "--max-wait-ms",
    type=click.FloatRange(min=0),
    default=1000 * _DEFAULTS.max_wait,
    show_default=True,
    help="How long a batch that is not full waits for images that are being checked.",
)
@click.option(
    "--queue",
    type=click.IntRange(min=1),
    default=_DEFAULTS.queue,
    show_default=True,
    help="Most images in the server at a time; further requests get 503.",
)
@click.option(
    "--max-images",
    type=click.IntRange(min=1),
    default=_DEFAULTS.max_images,
    show_default=True,
    help="Most images in one request.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=_DEFAULTS.timeout,
    show_default=True,
    help="Seconds until a request is given up with 504.",
)
@click.option(
    "--max-body",
    type=click.IntRange(min=1024),
    default=_DEFAULTS.max_body,
    show_default=True,
    help="Most bytes of a request.",
)
@click.option(
    "--stop-seconds",
    type=click.IntRange(min=0),
    default=_DEFAULTS.stop_seconds,
    show_default=True,
    help="How long requests in flight may take to end when the server is told to stop.",
)
@click.option(
    "--log-requests",
    type=_PATH,
    metavar="DIR",
    help="Keep a sample of covers and answers there, for `covers drift`; nothing about clients.",
)
@click.option(
    "--log-share",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Share of the covers to keep.",
)
@click.option(
    "--log-bytes",
    type=click.IntRange(min=1 << 20),
    default=1 << 30,
    show_default=True,
    help="Most bytes of the log; the oldest covers are dropped.",
)
@click.option("--verbose", is_flag=True, help="Print a line for each request.")
def serve(
    where: Where,
    model: Path | None,
    max_wait_ms: float,
    log_requests: Path | None,
    log_share: float,
    log_bytes: int,
    verbose: bool,
    **options: object,
) -> None:
    """Serve the pushed model over HTTP, and each newer version as soon as it is pushed.

    Speaks TensorFlow Serving's REST API, the open inference protocol (v2) and a plain one for
    files; see /docs. SIGTERM and Ctrl-C end what is in flight and then the server.
    """
    settings = ServingSettings(**options, max_wait=max_wait_ms / 1000)  # type: ignore[arg-type]
    if not (settings.name.isascii() and settings.name.replace("-", "").replace("_", "").isalnum()):
        raise click.UsageError("--name may have letters, digits, - and _.")
    where.check(model)
    destination = None if model else newest_place(where.places()).location
    try:
        from pipeline.serving.server import run_server
    except ModuleNotFoundError as error:
        from components.support.errors import ConfigError

        raise ConfigError(
            f"Expected the packages of `covers serve`. Received: no {error.name}. "
            "pip install 'covers[serve]'"
        ) from error
    with _keeping_answers(log_requests, log_share, log_bytes) as keep:
        is_loading = run_server(
            settings,
            destination=destination,
            model=model,
            say=_say,
            log=_say if verbose else None,
            on_answers=keep,
        )
    if is_loading:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@contextlib.contextmanager
def _keeping_answers(
    folder: Path | None, share: float, largest_bytes: int
) -> Iterator[Callable[[Sequence[Answered]], None] | None]:
    if folder is None:
        yield None
        return
    from components.contracts.request_log.writer import RequestLog

    log = RequestLog(folder, share=share, largest_bytes=largest_bytes)

    def keep(answers: Sequence[Answered]) -> None:
        for answer in answers:
            log.record(
                answer.image,
                answer.facts,
                answer.probabilities.tolist(),
                answer.decisions.tolist(),
                answer.version,
            )

    with contextlib.closing(log):
        yield keep


def _say(line: str) -> None:
    # Whoever read the output may be gone; the server goes on.
    with contextlib.suppress(OSError, ValueError):
        say(line)
