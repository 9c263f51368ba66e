"""TensorFlow Serving's REST API for one model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request

from components.contracts.signatures import (
    DECISIONS,
    GENRES,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
)
from pipeline.serving.answers import Answered, decimals
from pipeline.serving.engine import Engine, all_answered
from pipeline.serving.errors import malformed
from pipeline.serving.json_bodies import BASE64_KEY, JsonAnswer, decode_base64, json_object
from pipeline.serving.model import ServedModel
from pipeline.serving.models_in_paths import VERSION, models_in_paths, served_model
from pipeline.serving.openapi import EXAMPLE_BASE64, described, examples_of_predict

_INSTANCES, _INPUTS, _SIGNATURE_NAME = "instances", "inputs", "signature_name"
_MODEL = "/v1/models/{name}"


@dataclasses.dataclass(frozen=True)
class _Asked:
    images: list[bytes]
    by_row: bool


def tensorflow_serving_routes(engine: Engine) -> APIRouter:
    """Returns `:predict`, status and metadata below `/v1/models`."""
    routes = APIRouter(tags=["TensorFlow Serving"], default_response_class=JsonAnswer)

    extra = described(examples_of_predict(_examples()), _example_of_answer())
    for path, named in models_in_paths(engine, _MODEL):

        @routes.post(path + ":predict", summary="Predict", openapi_extra=extra)
        async def predict(request: Request, model: ServedModel = named) -> JsonAnswer:
            async with engine.body(request) as body:
                asked = await engine.in_thread(_read, body)
                answers = all_answered(await engine.answer(model, asked.images))
            return JsonAnswer(_written(model, answers, asked.by_row))

        @routes.get(path + "/metadata", summary="Signatures of the model")
        async def metadata(model: ServedModel = named) -> JsonAnswer:
            name, version = engine.settings.name, str(model.version)
            spec = {"name": name, "signature_name": "", "version": version}
            signatures = {"signature_def": model.signatures}
            return JsonAnswer({"model_spec": spec, "metadata": {"signature_def": signatures}})

    @routes.get(_MODEL, summary="State of all versions")
    async def states(name: str) -> JsonAnswer:
        served = _state(served_model(engine, name).version, "AVAILABLE", "OK", "")
        failed = [
            _state(number, "END", "FAILED_PRECONDITION", why)
            for number, why in engine.holder.failed.items()
        ]
        return JsonAnswer({"model_version_status": [served, *failed]})

    @routes.get(_MODEL + VERSION, summary="State of a version")
    async def state(name: str, version: str) -> JsonAnswer:
        model = served_model(engine, name, version)
        return JsonAnswer({"model_version_status": [_state(model.version, "AVAILABLE", "OK", "")]})

    return routes


def _read(body: bytes) -> _Asked:
    asked = json_object(body)
    signature = asked.get(_SIGNATURE_NAME, SERVING_SIGNATURE)
    if signature not in ("", SERVING_SIGNATURE):
        raise malformed(f"{_SIGNATURE_NAME} {SERVING_SIGNATURE}", repr(signature))
    if (_INSTANCES in asked) == (_INPUTS in asked):
        raise malformed(
            f"either {_INSTANCES} or {_INPUTS}", "both" if _INPUTS in asked else "neither"
        )
    by_row = _INSTANCES in asked
    values = asked[_INSTANCES if by_row else _INPUTS]
    if not by_row and isinstance(values, dict):
        if set(values) != {IMAGE_BYTES}:
            raise malformed(f"{_INPUTS} with {IMAGE_BYTES}", _keys(values))
        values = values[IMAGE_BYTES]
    if not isinstance(values, list):
        raise malformed("a list of images", "something else")
    if by_row:
        values = [_without_name(value) for value in values]
    return _Asked([_image(value, number) for number, value in enumerate(values)], by_row)


def _without_name(value: Any) -> Any:
    is_named = isinstance(value, dict) and set(value) == {IMAGE_BYTES}
    return value[IMAGE_BYTES] if is_named else value


def _image(value: Any, number: int) -> bytes:
    if not isinstance(value, dict) or set(value) != {BASE64_KEY}:
        received = _keys(value) if isinstance(value, dict) else "something else"
        raise malformed(f'{{"{BASE64_KEY}": ...}} as image {number}', received)
    return decode_base64(value[BASE64_KEY], f"image {number}")


def _keys(value: dict[str, Any]) -> str:
    return f"an object with {', '.join(map(repr, list(value)[:5])) or 'nothing'}"


def _written(model: ServedModel, answers: Sequence[Answered], by_row: bool) -> dict[str, Any]:
    rows = [
        {
            PROBABILITIES: decimals(each.probabilities),
            DECISIONS: each.decisions.tolist(),
            GENRES: list(model.genres),
        }
        for each in answers
    ]
    if by_row:
        return {"predictions": rows}
    keys = (PROBABILITIES, DECISIONS, GENRES)
    return {"outputs": {key: [row[key] for row in rows] for key in keys}}


def _state(version: int, state: str, code: str, message: str) -> dict[str, Any]:
    status = {"error_code": code, "error_message": message}
    return {"version": str(version), "state": state, "status": status}


def _examples() -> dict[str, Any]:
    image = {BASE64_KEY: EXAMPLE_BASE64}
    return {
        "rows": {_INSTANCES: [image]},
        "named rows": {_INSTANCES: [{IMAGE_BYTES: image}], _SIGNATURE_NAME: SERVING_SIGNATURE},
        "columns": {_INPUTS: {IMAGE_BYTES: [image]}},
    }


def _example_of_answer() -> dict[str, Any]:
    row = {PROBABILITIES: [0.08, 0.71], DECISIONS: [0, 1], GENRES: ["electronic", "jazz"]}
    return {"predictions": [row]}
