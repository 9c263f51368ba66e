"""The open inference protocol, version 2, of KServe, Triton and others, for one model."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from components.contracts.signatures import DECISIONS, GENRES, IMAGE_BYTES, PROBABILITIES
from pipeline.serving.answers import Answered, decimals
from pipeline.serving.binary_tensors import (
    BINARY_SIZE,
    HEADER_LENGTH,
    pack_elements,
    pack_numbers,
    split_body,
    unpack_elements,
)
from pipeline.serving.engine import Engine, all_answered
from pipeline.serving.errors import malformed
from pipeline.serving.json_bodies import JsonAnswer, decode_base64, json_object
from pipeline.serving.model import ServedModel
from pipeline.serving.models_in_paths import models_in_paths
from pipeline.serving.openapi import EXAMPLE_BASE64, described, examples_of_predict

_MODEL = "/v2/models/{name}"
_BYTES = "BYTES"
_DATATYPES = {PROBABILITIES: "FP32", DECISIONS: "INT64", GENRES: _BYTES}
_CONTENT_TYPE, _BASE64 = "content_type", "base64"


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A request: its id or None, its images, and output -> whether it is to be binary."""

    id: str | None
    images: list[bytes]
    outputs: dict[str, bool]


def inference_protocol_routes(engine: Engine) -> APIRouter:
    """Returns everything below `/v2`."""
    routes = APIRouter(tags=["Open inference protocol"], default_response_class=JsonAnswer)

    @routes.get("/v2", summary="The server")
    async def server() -> JsonAnswer:
        version = importlib.metadata.version("covers")
        return JsonAnswer(
            {"name": "covers", "version": version, "extensions": ["binary_tensor_data"]}
        )

    @routes.get("/v2/health/live", summary="Whether the server runs")
    async def live() -> JsonAnswer:
        return JsonAnswer({"live": True})

    @routes.get("/v2/health/ready", summary="Whether it answers requests for predictions")
    async def ready() -> JsonAnswer:
        return JsonAnswer({"ready": engine.is_ready}, 200 if engine.is_ready else 503)

    extra = described(examples_of_predict(_examples()), _example_of_answer())
    for path, named in models_in_paths(engine, _MODEL):

        @routes.get(path, summary="Inputs and outputs of the model")
        async def metadata(model: ServedModel = named) -> JsonAnswer:
            return JsonAnswer(_metadata(engine.settings.name, model))

        @routes.get(path + "/ready", summary="Whether the model is loaded")
        async def model_ready(model: ServedModel = named) -> JsonAnswer:
            body = {"name": engine.settings.name, "ready": engine.is_ready}
            return JsonAnswer(body, 200 if engine.is_ready else 503)

        @routes.post(path + "/infer", summary="Infer", openapi_extra=extra)
        async def infer(request: Request, model: ServedModel = named) -> Response:
            header_length = request.headers.get(HEADER_LENGTH)
            async with engine.body(request) as body:
                asked = await engine.in_thread(_read, body, header_length)
                answers = all_answered(await engine.answer(model, asked.images))
            return _written(engine.settings.name, model, asked, answers)

    return routes


def _metadata(name: str, model: ServedModel) -> dict[str, Any]:
    shape = [-1, len(model.genres)]
    return {
        "name": name,
        "versions": [str(model.version)],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": IMAGE_BYTES, "datatype": _BYTES, "shape": [-1]}],
        "outputs": [
            {"name": key, "datatype": datatype, "shape": shape}
            for key, datatype in _DATATYPES.items()
        ],
    }


def _read(body: bytes, header_length: str | None) -> _Asked:
    header, packed = split_body(body, header_length)
    asked = json_object(header)
    inputs = asked.get("inputs")
    if not (isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], dict)):
        raise malformed(f"inputs with one tensor, {IMAGE_BYTES}", "something else")
    identity = asked.get("id")
    if not (identity is None or isinstance(identity, str)):
        raise malformed("text as id", "something else")
    return _Asked(identity, _images(inputs[0], packed), _outputs(asked))


def _images(tensor: dict[str, Any], packed: bytes) -> list[bytes]:
    found = {key: tensor.get(key) for key in ("name", "datatype")}
    if found != {"name": IMAGE_BYTES, "datatype": _BYTES}:
        raise malformed(f"the input {IMAGE_BYTES} of datatype {_BYTES}", json.dumps(found))
    parameters = _parameters(tensor)
    size = parameters.get(BINARY_SIZE)
    if size is None:
        images = _images_in_json(tensor, parameters)
        expected = 0
    else:
        images = unpack_elements(packed)
        expected = size
    if type(expected) is not int or expected != len(packed):
        raise malformed(f"{len(packed):,} as {BINARY_SIZE}, which follow the JSON", repr(size))
    if tensor.get("shape") != [len(images)]:
        raise malformed(f"shape [{len(images)}]", json.dumps(tensor.get("shape")))
    return images


def _images_in_json(tensor: dict[str, Any], parameters: dict[str, Any]) -> list[bytes]:
    content_type = parameters.get(_CONTENT_TYPE, _BASE64)
    if content_type != _BASE64:
        raise malformed(f"{_CONTENT_TYPE} {_BASE64}", repr(content_type))
    data = tensor.get("data")
    if not isinstance(data, list):
        raise malformed("a list as data", "something else")
    return [decode_base64(value, f"data[{number}]") for number, value in enumerate(data)]


def _outputs(asked: dict[str, Any]) -> dict[str, bool]:
    by_default = _parameters(asked).get("binary_data_output") is True
    wanted = asked.get("outputs")
    if not wanted:
        return dict.fromkeys(_DATATYPES, by_default)
    if not (isinstance(wanted, list) and all(isinstance(each, dict) for each in wanted)):
        raise malformed("a list of objects as outputs", "something else")
    for each in wanted:
        if each.get("name") not in tuple(_DATATYPES):
            raise malformed(f"outputs among {', '.join(_DATATYPES)}", repr(each.get("name")))
    return {
        each["name"]: _parameters(each).get("binary_data", by_default) is True for each in wanted
    }


def _parameters(holder: dict[str, Any]) -> dict[str, Any]:
    parameters = holder.get("parameters", {})
    if not isinstance(parameters, dict):
        raise malformed("an object as parameters", "something else")
    return parameters


def _written(name: str, model: ServedModel, asked: _Asked, answers: Sequence[Answered]) -> Response:
    outputs, packed = [], []
    for key, is_binary in asked.outputs.items():
        output: dict[str, Any] = {
            "name": key,
            "datatype": _DATATYPES[key],
            "shape": [len(answers), len(model.genres)],
        }
        if is_binary:
            packed.append(_packed(key, model, answers))
            output["parameters"] = {BINARY_SIZE: len(packed[-1])}
        else:
            output["data"] = _listed(key, model, answers)
        outputs.append(output)
    body = {"model_name": name, "model_version": str(model.version), "outputs": outputs}
    if asked.id is not None:
        body["id"] = asked.id
    if not packed:
        return JsonAnswer(body)
    header = json.dumps(body).encode("ascii")
    return Response(
        header + b"".join(packed),
        media_type="application/octet-stream",
        headers={HEADER_LENGTH: str(len(header))},
    )


def _listed(key: str, model: ServedModel, answers: Sequence[Answered]) -> list[Any]:
    """Returns all values of an output, row by row."""
    if key == PROBABILITIES:
        return [value for each in answers for value in decimals(each.probabilities)]
    if key == DECISIONS:
        return [value for each in answers for value in each.decisions.tolist()]
    return list(model.genres) * len(answers)


def _packed(key: str, model: ServedModel, answers: Sequence[Answered]) -> bytes:
    if key == GENRES:
        return pack_elements([genre.encode() for genre in model.genres] * len(answers))
    values = [each.probabilities if key == PROBABILITIES else each.decisions for each in answers]
    return pack_numbers(np.stack(values))


def _examples() -> dict[str, Any]:
    tensor = {"name": IMAGE_BYTES, "datatype": _BYTES, "shape": [1]}
    in_json = {**tensor, "parameters": {_CONTENT_TYPE: _BASE64}, "data": [EXAMPLE_BASE64]}
    return {
        "base64": {"inputs": [in_json]},
        "one output": {"id": "42", "inputs": [in_json], "outputs": [{"name": PROBABILITIES}]},
    }


def _example_of_answer() -> dict[str, Any]:
    numbers = {"name": PROBABILITIES, "datatype": "FP32", "shape": [1, 2], "data": [0.08, 0.71]}
    return {"model_name": "covers", "model_version": "1", "outputs": [numbers]}
