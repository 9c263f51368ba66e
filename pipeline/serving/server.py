"""Runs the server until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from components.support.errors import ConfigError
from pipeline.serving.answers import Answered
from pipeline.serving.app import create_app
from pipeline.serving.connections import bounded_protocol, most_connections, said_once
from pipeline.serving.engine import Engine
from pipeline.serving.following import Follower, load_folder, serve
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import ModelHolder
from pipeline.serving.settings import ServingSettings

_KEPT_ALIVE = 75  # seconds, longer than most clients and proxies keep a connection
_BACKLOG = 256
_FOLLOWER_ENDS_WITHIN = 2.0

Say = Callable[[str], None]


def run_server(
    settings: ServingSettings,
    *,
    destination: str | None = None,
    model: Path | None = None,
    say: Say,
    log: Say | None = None,
    on_answers: Callable[[Sequence[Answered]], None] | None = None,
) -> bool:
    """Serves until SIGTERM or SIGINT, then ends what is in flight.

    Args:
        settings: addresses and limits.
        destination: folder or URL of pushed versions, of which the newest is served.
        model: a SavedModel to serve instead.
        say: prints a line.
        log: prints a line for each request; None prints none.
        on_answers: see `create_app`.

    Returns:
        Whether TensorFlow is still loading a model. Nothing interrupts that, and Python must not
        be taken down under it: the process ends by `os._exit`.

    Raises:
        ConfigError: the address cannot be listened at.
        DeploymentError: `model` is none of this project, or damaged.
    """
    holder, metrics = ModelHolder(), Metrics()
    if model is not None:
        begin = time.monotonic()
        serve(holder, load_folder(model), metrics, say, time.monotonic() - begin)
    listening = _listen(settings.host, settings.port)
    app = create_app(settings, holder, metrics=metrics, on_answers=on_answers, say=say, log=log)
    thread = None
    if destination is not None:
        follower = Follower(holder, destination, settings.poll_seconds, metrics, say)
        thread = threading.Thread(target=follower.run, name="follower", daemon=True)
        thread.start()
    for line in _introduction(settings, listening, destination, holder):
        say(line)
    for name in ("uvicorn", "python_multipart"):  # they print what clients do wrong
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = _Server(app, settings, app.state.engine, metrics)
    asyncio.run(_serve(server, listening, say))
    say(server.farewell())
    if thread is None:
        return False
    follower.stop()
    thread.join(_FOLLOWER_ENDS_WITHIN)
    return thread.is_alive()


async def _serve(server: _Server, listening: socket.socket, say: Say) -> None:
    asyncio.get_running_loop().set_exception_handler(said_once(say))
    await server.serve([listening])


class _Server(uvicorn.Server):
    """Uvicorn's server, with an end of its own: ready no more, then no more connections."""

    def __init__(
        self, app: Any, settings: ServingSettings, engine: Engine, metrics: Metrics
    ) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            http=bounded_protocol(most_connections(), metrics),
            ws="none",
            backlog=_BACKLOG,
            server_header=False,
            timeout_keep_alive=_KEPT_ALIVE,
            timeout_graceful_shutdown=settings.stop_seconds,
        )
        super().__init__(config)
        self._engine, self._metrics = engine, metrics
        self._left = self._before = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Does not raise the signal again in the end, as uvicorn does: this end is a good one."""
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the end; a second signal does not wait for what is in flight."""
        self.force_exit = self.should_exit
        self.should_exit = self._engine.stopping = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends connections, those of requests in flight after their answers."""
        self._left, self._before = self._metrics.busy, self._metrics.cut_off
        await super().shutdown(sockets)

    def farewell(self) -> str:
        """Returns what to say in the end."""
        unanswered = self._metrics.cut_off - self._before
        cut = f", {unanswered} cut off" if unanswered else ""
        return f"Stopped. Requests in flight: {self._left - unanswered} answered{cut}."


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"Expected an address to listen at. Received: {host}, port {port} "
            f"({error.strerror or error}). Choose others with --host and --port."
        ) from error


def _introduction(
    settings: ServingSettings,
    listening: socket.socket,
    destination: str | None,
    holder: ModelHolder,
) -> Iterator[str]:
    host, port = listening.getsockname()[:2]
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if destination is not None:
        yield (
            f"model: the newest version in {destination}, looked for every "
            f"{settings.poll_seconds:g} s"
        )
    elif holder.model:
        yield f"model: {holder.model.location}"
    yield f"page to try a cover      {base}/"
    yield f"list of the API          {base}/docs"
    yield f"files                    curl -F file=@cover.jpg {base}/predict"
    yield f"TensorFlow Serving's API {base}/v1/models/{settings.name}:predict"
    yield f"inference protocol v2    {base}/v2/models/{settings.name}/infer"
    yield f"metrics                  {base}/metrics"
    yield "Ctrl-C stops."
