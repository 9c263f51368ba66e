"""The plain API: files in, genres by name out."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from components.contracts.quarantine import RowRejected
from pipeline.serving.answers import Answered, decimals
from pipeline.serving.engine import Engine
from pipeline.serving.errors import Refused, malformed, too_many
from pipeline.serving.json_bodies import JsonAnswer
from pipeline.serving.model import ServedModel
from pipeline.serving.openapi import described

_MULTIPART = "multipart/form-data"
_FORM_FIELDS = 100


@dataclasses.dataclass(frozen=True)
class _File:
    """An uploaded image; the name is the client's and only ever given back to it."""

    name: str
    content: bytes


def plain_routes(engine: Engine) -> APIRouter:
    """Returns `/predict`, and what tells whether the server is well."""
    routes = APIRouter(default_response_class=JsonAnswer)

    @routes.post(
        "/predict",
        tags=["Plain"],
        summary="Genres of one or more images",
        openapi_extra=described(_content(), _example()),
    )
    async def predict(request: Request) -> JsonAnswer:
        model = engine.model()
        async with engine.body(request) as body:
            files = await _files(request.headers, body, engine.settings.max_images)
            given = await engine.answer(model, [file.content for file in files])
        images = [_entry(file, each, model) for file, each in zip(files, given, strict=True)]
        is_any_read = any(isinstance(each, Answered) for each in given)
        body_out = {"model": engine.settings.name, "version": str(model.version), "images": images}
        return JsonAnswer(body_out, 200 if is_any_read else 422)

    @routes.get("/healthz", tags=["Health"], summary="Whether the server runs")
    async def health() -> JsonAnswer:
        return JsonAnswer({"status": "ok"})

    @routes.get("/readyz", tags=["Health"], summary="Whether it answers requests for predictions")
    async def ready() -> JsonAnswer:
        if engine.stopping:
            return JsonAnswer({"status": "stopping"}, 503)
        if not engine.is_ready:
            return JsonAnswer({"status": "no model is loaded yet"}, 503)
        return JsonAnswer({"status": "ready", "version": str(engine.model().version)})

    return routes


async def _files(headers: Headers, body: bytes, most: int) -> Sequence[_File]:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _MULTIPART:
        return [_File("", body)] if body else []

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    # One more than allowed, so that the engine says how many are.
    parser = MultiPartParser(headers, stream(), max_files=most + 1, max_fields=_FORM_FIELDS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise Refused(
                413, "too_many_images", f"Expected at most {most} images. Received: more."
            ) from error
        raise malformed(f"a body of {_MULTIPART}", error.message.rstrip(".")) from error
    except (ValueError, LookupError) as error:  # of an unknown charset, for instance
        raise malformed(f"a body of {_MULTIPART}", type(error).__name__) from error
    except OSError as error:  # large files go by way of the disk
        raise too_many("a file for which this machine has no room") from error
    uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    files = [_File(upload.filename or "", await upload.read()) for upload in uploads]
    await form.close()
    return files


def _entry(file: _File, given: Answered | RowRejected, model: ServedModel) -> dict[str, Any]:
    if isinstance(given, RowRejected):
        return {"image": file.name, "reason": given.reason.value, "error": given.detail}
    return {
        "image": file.name,
        "genres": [genre for genre, yes in zip(model.genres, given.decisions, strict=True) if yes],
        "probabilities": dict(zip(model.genres, decimals(given.probabilities), strict=True)),
    }


def _content() -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "properties": {"file": {"type": "array", "items": binary}}}
    return {
        _MULTIPART: {"schema": form, "example": {"file": ["cover.jpg"]}},
        "image/*": {"schema": binary},
    }


def _example() -> dict[str, Any]:
    read = {
        "image": "cover.jpg",
        "genres": ["jazz"],
        "probabilities": {"electronic": 0.08, "jazz": 0.71},
    }
    error = {
        "image": "page.jpg",
        "reason": "not_an_image",
        "error": "Expected an image. Received: ...",
    }
    return {"model": "covers", "version": "1", "images": [read, error]}
