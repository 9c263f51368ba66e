"""Connections of `covers serve`: how many there may be, and how long a request's head may take."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http
import operator
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.serving.metrics import Metrics
from pipeline.serving.watching import error_answer

HEAD_SECONDS = 10.0

_MOST = 10_000
_KEPT_FREE = 64  # descriptors for models being loaded, logs and large bodies
_LEAST = 8
_SAID_EVERY = 60.0  # seconds
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)

Say = Callable[[str], None]


def most_connections() -> int:
    """Returns how many connections there are descriptors for, after raising the soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST + 2 * _KEPT_FREE
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST
    return max(_LEAST, min(_MOST, soft - _open_descriptors() - _KEPT_FREE))


def bounded_protocol(
    most: int, metrics: Metrics, *, head_seconds: float = HEAD_SECONDS
) -> type[H11Protocol]:
    """Returns Uvicorn's protocol with limits that it does not have.

    Args:
        most: connections at a time. One more takes the place of the one that has been idle for the
            longest time after an answer; if none is, it is answered with 503.
        metrics: counts what is refused.
        head_seconds: from a connection's beginning, or from the first byte of a later request, to
            the end of the request's head.
    """

    class BoundedProtocol(H11Protocol):
        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > most and not self._end_an_idle_one():
                self._refuse(
                    503, "connections", f"Expected at most {most} connections. Received: one more."
                )
            else:
                self._head = self.loop.call_later(head_seconds, self._head_is_late)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
                self._head_has_come()
            elif self._head is None:
                self._head = self.loop.call_later(head_seconds, self._head_is_late)

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_has_come()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            self._refuse(
                400, "not_http", "Expected a request of HTTP/1.1. Received: one that is malformed."
            )

        def _head_has_come(self) -> None:
            if self._head:
                self._head.cancel()
                self._head = None

        def _head_is_late(self) -> None:
            self._head = None
            begun = bool(self.conn.trailing_data[0])
            if begun:
                self._refuse(
                    408,
                    "late",
                    f"Expected the head of a request within {head_seconds:g} s. "
                    "Received: a part of it.",
                )
            else:
                self.transport.close()

        def _end_an_idle_one(self) -> bool:
            idle = [
                (connection.timeout_keep_alive_task.when(), connection.transport)
                for connection in self.connections
                if isinstance(connection, H11Protocol)
                and connection.timeout_keep_alive_task
                and not connection.transport.is_closing()
            ]
            if not idle:
                return False
            _, transport = min(idle, key=operator.itemgetter(0))
            transport.close()
            return True

        def _refuse(self, status: int, reason: str, message: str) -> None:
            """Answers without the application, which never sees this request."""
            metrics.refusals.labels(reason).inc()
            if not self.transport.is_closing():
                self.transport.write(_answer(status, message))
                self.transport.close()

    return BoundedProtocol


def said_once(say: Say) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Returns a loop's exception handler that says seldom that descriptors are used up.

    The loop stops accepting for a second then, by itself.
    """
    said_at = -_SAID_EVERY

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said_at
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _OUT_OF_DESCRIPTORS):
            loop.default_exception_handler(context)
            return
        if time.monotonic() - said_at >= _SAID_EVERY:
            said_at = time.monotonic()
            say(
                f"Expected a free file descriptor for a new connection. Received: {error.strerror}."
                " New connections wait. Raise the limit (ulimit -n), or put a proxy in front."
            )

    return handle


def _answer(status: int, message: str) -> bytes:
    answer = error_answer(status, message)
    headers = {**dict(answer.headers), "connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    phrase = http.HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {phrase}\r\n{head}\r\n".encode("latin-1") + bytes(answer.body)


def _open_descriptors() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return sum(1 for _ in Path(folder).iterdir())
    return _KEPT_FREE
