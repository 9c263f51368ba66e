"""The open inference protocol, in JSON and in binary."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from pipeline.serving.binary_tensors import HEADER_LENGTH, unpack_elements
from pipeline.serving.model import ModelHolder, ServedModel

INFER = "/v2/models/covers/infer"


def tensor(images: list[bytes], **more: Any) -> dict[str, Any]:
    data = [base64.b64encode(each).decode() for each in images]
    named = {"name": "image_bytes", "datatype": "BYTES", "shape": [len(images)]}
    return {**named, "data": data, **more}


def test_server_and_model_describe_themselves(client: TestClient) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for base in ("/v2/models/covers", "/v2/models/covers/versions/7"):
        assert client.get(base + "/ready").json() == {"name": "covers", "ready": True}
        found = client.get(base).json()
        assert found["versions"] == ["7"]
        assert found["inputs"] == [{"name": "image_bytes", "datatype": "BYTES", "shape": [-1]}]
        datatypes = {each["name"]: each["datatype"] for each in found["outputs"]}
        assert datatypes == {"probabilities": "FP32", "decisions": "INT64", "genres": "BYTES"}
    assert client.get("/v2/models/covers/versions/8").status_code == 404


def test_nothing_is_ready_before_there_is_a_model(start: Callable[..., TestClient]) -> None:
    with start(ModelHolder()) as client:
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/models/covers/ready").status_code == 503
        assert client.post(INFER, json={}).status_code == 503


def test_json_has_the_models_answers(
    client: TestClient, cover: Callable[..., bytes], served: ServedModel
) -> None:
    images = [cover(1), cover(2)]
    probabilities, decisions = served.ask(images)
    asked = {"id": "a-1", "inputs": [tensor(images, parameters={"content_type": "base64"})]}
    answer = client.post(INFER, json=asked).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a-1", "covers", "7")
    outputs = {each["name"]: each for each in answer["outputs"]}
    assert all(each["shape"] == [2, 3] for each in outputs.values())
    found = np.array(outputs["probabilities"]["data"], np.float32).reshape(2, 3)
    np.testing.assert_array_equal(found, probabilities)
    assert outputs["decisions"]["data"] == decisions.ravel().tolist()
    assert outputs["genres"]["data"] == list(served.genres) * 2
    one = {**asked, "outputs": [{"name": "decisions"}]}
    assert [each["name"] for each in client.post(INFER, json=one).json()["outputs"]] == [
        "decisions"
    ]


def test_binary_has_the_same_answers(
    client: TestClient, cover: Callable[..., bytes], served: ServedModel
) -> None:
    images = [cover(1), cover(2)]
    packed = b"".join(struct.pack("<I", len(each)) + each for each in images)
    named = {"name": "image_bytes", "datatype": "BYTES", "shape": [2]}
    header = json.dumps(
        {
            "inputs": [{**named, "parameters": {"binary_data_size": len(packed)}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    answer = client.post(INFER, content=header + packed, headers={HEADER_LENGTH: str(len(header))})
    length = int(answer.headers[HEADER_LENGTH])
    outputs, at = {}, length
    for output in json.loads(answer.content[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        outputs[output["name"]] = answer.content[at : at + size]
        at += size
    assert at == len(answer.content)
    probabilities, decisions = served.ask(images)
    assert outputs["probabilities"] == probabilities.astype("<f4").tobytes()
    assert outputs["decisions"] == decisions.astype("<i8").tobytes()
    assert unpack_elements(outputs["genres"]) == [each.encode() for each in served.genres] * 2


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, "one tensor"),
        ({"inputs": [3]}, "one tensor"),
        ({"inputs": [tensor([b"x"], name="pixels")]}, "image_bytes"),
        ({"inputs": [tensor([b"x"], datatype="FP32")]}, "BYTES"),
        ({"inputs": [tensor([b"x"], shape=[2])]}, "shape [1]"),
        ({"inputs": [tensor([b"x"], data=["?"])]}, "base64"),
        ({"inputs": [tensor([b"x"], data="eA==")]}, "a list as data"),
        ({"inputs": [tensor([b"x"], parameters={"content_type": "np"})]}, "content_type"),
        ({"inputs": [tensor([b"x"], parameters=3)]}, "parameters"),
        ({"inputs": [tensor([b"x"], parameters={"binary_data_size": 5})]}, "binary_data_size"),
        ({"inputs": [tensor([b"x"], parameters={"binary_data_size": [1]})]}, "binary_data_size"),
        ({"inputs": [tensor([b"x"])], "outputs": [{"name": []}]}, "outputs"),
        ({"inputs": [tensor([b"x"])], "outputs": 3}, "outputs"),
        ({"inputs": [tensor([b"x"])], "id": 3}, "id"),
        ({"inputs": [tensor([b"x"])]}, "not_an_image"),
    ],
)
def test_what_is_wrong_is_said(client: TestClient, asked: Any, text: str) -> None:
    answer = client.post(INFER, json=asked)
    assert answer.status_code == 400 and text in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "length"), [(b"{}", "3"), (b"{}", "x"), (b"{}", "9" * 30), (b"{}1234", "2")]
)
def test_a_binary_body_that_does_not_fit_is_refused(
    client: TestClient, body: bytes, length: str
) -> None:
    answer = client.post(INFER, content=body, headers={HEADER_LENGTH: length})
    assert answer.status_code == 400


@pytest.mark.parametrize("packed", [b"\x01", b"\x05\0\0\0x", b"\xff\xff\xff\xff"])
def test_elements_that_do_not_fit_are_refused(client: TestClient, packed: bytes) -> None:
    more = {"parameters": {"binary_data_size": len(packed)}}
    header = json.dumps({"inputs": [tensor([b"x"], **more)]}).encode()
    headers = {HEADER_LENGTH: str(len(header))}
    assert client.post(INFER, content=header + packed, headers=headers).status_code == 400
