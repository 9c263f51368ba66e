"""TensorFlow Serving's REST API."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format
from starlette.testclient import TestClient
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
)

from components.contracts.files import SAVED_MODEL_FILE
from pipeline.serving.answers import decimals
from pipeline.serving.model import ModelHolder, ServedModel

Cover = Callable[..., bytes]
PREDICT = "/v1/models/covers:predict"


def b64(image: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(image).decode()}


def test_rows_and_columns_have_the_models_answers(
    client: TestClient, cover: Cover, served: ServedModel
) -> None:
    images = [cover(1), cover(2, "PNG"), cover(3, mode="L")]
    probabilities, decisions = served.ask(images)
    rows = [
        {
            "probabilities": decimals(probabilities[i]),
            "decisions": decisions[i].tolist(),
            "genres": list(served.genres),
        }
        for i in range(3)
    ]
    plain = client.post(PREDICT, json={"instances": [b64(each) for each in images]})
    assert plain.status_code == 200 and plain.json() == {"predictions": rows}
    assert plain.headers["content-type"] == "application/json"
    named = {
        "instances": [{"image_bytes": b64(each)} for each in images],
        "signature_name": "serving_default",
    }
    assert client.post("/v1/models/covers/versions/7:predict", json=named).json() == plain.json()
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    for inputs in ({"image_bytes": [b64(each) for each in images]}, [b64(each) for each in images]):
        assert client.post(PREDICT, json={"inputs": inputs}).json() == {"outputs": columns}


def test_numbers_have_six_digits_or_nine() -> None:
    values = np.array([0.5, 0.1, 1.0, 1 / 3, 2 / 3e5], np.float32)
    assert decimals(values) == [0.5, 0.1, 1.0, 0.333333343, 6.66666665e-06]
    assert np.array_equal(np.array(decimals(values), np.float32), values)
    random = np.random.default_rng(0).random(1000, np.float32)
    assert np.array_equal(np.array(decimals(random), np.float32), random)


def test_what_the_model_would_not_see_as_people_do_is_converted(
    client: TestClient, cover: Cover
) -> None:
    images = [cover(1, "WEBP"), cover(1, mode="CMYK"), cover(1, "GIF", "P")]
    answer = client.post(PREDICT, json={"instances": [b64(each) for each in images]})
    assert answer.status_code == 200
    found = np.array([row["probabilities"] for row in answer.json()["predictions"]])
    assert np.ptp(found, axis=0).max() < 0.03


def test_status_is_that_of_the_proto(client: TestClient, served: ServedModel) -> None:
    for path in ("/v1/models/covers", "/v1/models/covers/versions/7"):
        status = get_model_status_pb2.GetModelStatusResponse()
        json_format.Parse(client.get(path).text, status)
        (state,) = status.model_version_status
        assert (state.version, state.state) == (7, state.AVAILABLE)
        assert state.status.error_code == 0


def test_status_names_a_version_that_could_not_be_loaded(
    start: Callable[..., TestClient], served: ServedModel
) -> None:
    holder = ModelHolder(served)
    holder.note_failure(9, "Expected. Received.")
    with start(holder) as client:
        status = get_model_status_pb2.GetModelStatusResponse()
        json_format.Parse(client.get("/v1/models/covers").text, status)
    failed = status.model_version_status[1]
    assert (failed.version, failed.state) == (9, failed.END)
    assert failed.status.error_message == "Expected. Received."


def test_metadata_is_that_of_the_proto(client: TestClient, tiny_model: Path) -> None:
    body = client.get("/v1/models/covers/metadata").json()
    spec = json_format.ParseDict(body["model_spec"], model_pb2.ModelSpec())
    assert (spec.name, spec.version.value) == ("covers", 7)
    assert set(body["metadata"]) == {"signature_def"}
    found = json_format.ParseDict(
        body["metadata"]["signature_def"], get_model_metadata_pb2.SignatureDefMap()
    )
    signature = found.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert signature.inputs["image_bytes"].tensor_shape.dim[0].size == -1
    assert set(signature.outputs) == {"probabilities", "decisions", "genres"}
    assert "serve_pixels" in found.signature_def
    saved = saved_model_pb2.SavedModel.FromString((tiny_model / SAVED_MODEL_FILE).read_bytes())
    assert dict(found.signature_def) == dict(saved.meta_graphs[0].signature_def)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{", 400, "a body of JSON"),
        (b"\xff\xfe", 400, "a body of JSON"),
        (b"[" * 100_000, 400, "brackets"),
        (b"[]", 400, "one JSON object"),
        (b"{}", 400, "neither"),
        (b'{"instances": [], "inputs": []}', 400, "both"),
        (b'{"instances": []}', 400, "at least one image"),
        (b'{"instances": 3}', 400, "a list of images"),
        (b'{"instances": [3]}', 400, "something else"),
        (b'{"instances": [{"b64": 3}]}', 400, "base64 text in image 0"),
        (b'{"instances": [{"b64": "a"}]}', 400, "base64 text in image 0"),
        (b'{"instances": [{"b64": "\\u001b[2J"}]}', 400, "base64 text"),
        (b'{"instances": [{"other": {"b64": ""}}]}', 400, "'other'"),
        (b'{"inputs": {"b64": "YQ=="}}', 400, "inputs with image_bytes"),
        (b'{"instances": [{"b64": "YQ=="}]}', 400, "not_an_image"),
        (b'{"instances": [{"b64": ""}]}', 400, "empty_file"),
        (b'{"instances": [{"b64": ""}], "signature_name": "x\\u001b"}', 400, "signature_name"),
        (b'{"instances": [{"b64": ""}], "signature_name": {}}', 400, "signature_name"),
        (json.dumps({"instances": [{"b64": ""}] * 65}).encode(), 413, "at most 64 images"),
    ],
)
def test_what_is_wrong_is_said(client: TestClient, body: bytes, status: int, text: str) -> None:
    answer = client.post(PREDICT, content=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"} and text in answer.json()["error"]
    assert "Traceback" not in answer.text and answer.json()["error"].isprintable()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/other:predict",
        "/v1/models/covers/versions/8:predict",
        "/v1/models/covers/versions/x%1b:predict",
        "/v1/models/covers/labels/stable:predict",
        "/v1/models/covers:classify",
        "/v1",
    ],
)
def test_what_is_not_served_is_not_found(client: TestClient, path: str) -> None:
    answer = client.post(path, json={"instances": []})
    assert answer.status_code in (404, 405) and answer.json()["error"].isprintable()
