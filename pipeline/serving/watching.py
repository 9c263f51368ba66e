"""Around every request: counting, limits of time, errors as answers, and the access log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.support.texts import line_for_people, shortened
from pipeline.serving.errors import Refused
from pipeline.serving.json_bodies import JsonAnswer
from pipeline.serving.metrics import NO_CODE, Metrics

_LONGEST_MESSAGE = 1000
_OTHER = "other"

Say = Callable[[str], None]


class Watch:
    """Wraps the application.

    Args:
        app: the application.
        metrics: counts requests.
        say: prints a line about what nobody foresaw.
        log: prints a line for each request; None prints none.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, say: Say, log: Say | None) -> None:
        self._app, self._metrics, self._say, self._log = app, metrics, say, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, method = time.perf_counter(), scope["method"]
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, note)
        except Exception as error:  # no traceback to a client, and none that ends the server
            self._say(f"unexpected error: {type(error).__name__}: {error}")
            if not status:
                await unforeseen()(scope, receive, note)
        finally:
            self._metrics.in_flight.dec()
            self._count(scope, method, status, time.perf_counter() - begin)

    def _count(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        # The route's template, not what a client wrote, which could be anything.
        path = getattr(scope.get("route"), "path", _OTHER)
        self._metrics.requests.labels(path, str(status or NO_CODE)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        if self._log:
            client = (scope.get("client") or ["-"])[0]
            self._log(f"{client} {method} {scope['path']} {status} {1000 * seconds:.0f} ms")


class HeadAnswers:
    """Wraps the application: HEAD is answered as GET is, without the body (RFC 9110, 9.3.2).

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            is_body = message["type"] == "http.response.body"
            await send({**message, "body": b""} if is_body else message)

        scope["method"] = "GET"  # in place: the router adds the route to it, which is counted
        await self._app(scope, receive, without_body)


def refusal(error: Refused, metrics: Metrics) -> Response:
    """Returns the answer to a request that is refused, in the form that all protocols share."""
    metrics.refusals.labels(error.reason).inc()
    return error_answer(error.status, str(error), error.headers)


def error_answer(status: int, message: str, headers: Any = None) -> Response:
    """Returns an error as a JSON object, safe to print."""
    text = shortened(line_for_people(message), _LONGEST_MESSAGE)
    return JsonAnswer({"error": text}, status, headers)


def unforeseen() -> Response:
    """Returns the answer to a request on which the server itself failed."""
    return error_answer(500, "Expected an answer. Received: an error of the server; see its log.")
