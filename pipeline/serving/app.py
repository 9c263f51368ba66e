"""Puts the server's protocols, pages and metrics together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from components.support.texts import printable
from pipeline.serving.answers import Answered
from pipeline.serving.engine import Engine
from pipeline.serving.errors import Refused
from pipeline.serving.inference_protocol import inference_protocol_routes
from pipeline.serving.listening import AnswerListener
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import ModelHolder
from pipeline.serving.pages import page_routes
from pipeline.serving.plain import plain_routes
from pipeline.serving.settings import ServingSettings
from pipeline.serving.tensorflow_serving import tensorflow_serving_routes
from pipeline.serving.watching import HeadAnswers, Watch, error_answer, refusal

_LISTENER_ENDS_WITHIN = 5.0
_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"

Say = Callable[[str], None]


def create_app(
    settings: ServingSettings,
    holder: ModelHolder,
    *,
    metrics: Metrics | None = None,
    on_answers: Callable[[Sequence[Answered]], None] | None = None,
    say: Say = lambda line: None,
    log: Say | None = None,
) -> FastAPI:
    """Returns the server as an application; its engine is `app.state.engine`.

    Args:
        settings: names and limits.
        holder: has the model, and may get another at any time.
        metrics: what to count in; by default new ones.
        on_answers: called with each batch of answers, of all protocols, in a thread of its own; it
            can neither fail nor slow down a request, and misses answers if it is too slow.
        say: prints a line about what nobody foresaw.
        log: prints a line for each request; None prints none.
    """
    metrics = metrics or Metrics()
    listener = AnswerListener(on_answers, metrics, say) if on_answers else None
    engine = Engine(settings, holder, metrics, listener)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with engine.running():
            yield
        if listener:
            listener.stop(_LISTENER_ENDS_WITHIN)

    app = FastAPI(
        title=f"covers: {settings.name}",
        version="1",
        description="Album covers in, genres out.",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.engine = engine
    app.add_middleware(HeadAnswers)
    app.add_middleware(Watch, metrics=metrics, say=say, log=log)

    async def refuse(request: Request, error: Any) -> Response:
        return refusal(error, metrics)

    async def no_such_path(request: Request, error: Any) -> Response:
        received = printable(f"{request.method} {request.url.path}")
        message = f"Expected a request that /docs lists. Received: {received} ({error.detail})."
        return error_answer(error.status_code, message, error.headers)

    app.add_exception_handler(Refused, refuse)
    app.add_exception_handler(HTTPException, no_such_path)

    @app.get("/metrics", tags=["Health"], summary="Metrics for Prometheus")
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type=_TEXT_FORMAT)

    app.include_router(plain_routes(engine))
    app.include_router(tensorflow_serving_routes(engine))
    app.include_router(inference_protocol_routes(engine))
    app.include_router(page_routes(settings.name, app.openapi))
    return app
