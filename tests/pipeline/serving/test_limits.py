"""Too much, too slow, too early, and what nobody foresaw."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from components.support.errors import DeploymentError
from pipeline.serving.answers import Answered
from pipeline.serving.app import create_app
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import ModelHolder, Outputs, ServedModel
from pipeline.serving.settings import ServingSettings
from pipeline.serving.watching import Watch

Start = Callable[..., TestClient]
Cover = Callable[..., bytes]


def changed(served: ServedModel, ask: Callable[[Sequence[bytes]], Outputs]) -> ModelHolder:
    return ModelHolder(dataclasses.replace(served, ask=ask))


def counted(client: TestClient, name: str, **labels: str) -> float:
    metrics = client.app.state.engine.metrics  # type: ignore[attr-defined]
    return metrics.registry.get_sample_value(name, labels) or 0.0


def test_requests_of_many_clients_are_one_batch(
    start: Start, served: ServedModel, cover: Cover
) -> None:
    asked: list[int] = []
    free = threading.Event()

    def ask(images: Sequence[bytes]) -> Outputs:
        asked.append(len(images))
        free.wait(10)
        return served.ask(images)

    with start(changed(served, ask), max_batch=8) as client, ThreadPoolExecutor(20) as pool:
        bodies = [cover(seed) for seed in range(20)]
        answers = [pool.submit(client.post, "/predict", content=body) for body in bodies]
        while not asked or counted(client, "covers_queue_images") < 20 - asked[0]:
            time.sleep(0.01)
        free.set()
        found = [each.result().json()["images"][0]["probabilities"] for each in answers]
        assert counted(client, "covers_images_total", outcome="answered") == 20
    assert sum(asked) == 20 and max(asked) == 8 and len(asked) <= 4
    expected, _ = served.ask(bodies)
    assert [list(each.values()) for each in found] == [
        pytest.approx(each, abs=1e-6) for each in expected.tolist()
    ]


def test_a_request_ends_on_the_version_it_began_with(
    start: Start, served: ServedModel, cover: Cover
) -> None:
    free, begun = threading.Event(), threading.Event()

    def ask(images: Sequence[bytes]) -> Outputs:
        begun.set()
        free.wait(10)
        return served.ask(images)

    holder = changed(served, ask)
    with start(holder) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/predict", content=cover(1))
        assert begun.wait(10)
        holder.exchange(dataclasses.replace(served, version=8))
        second = pool.submit(client.post, "/v1/models/covers/versions/8:predict", json={})
        assert second.result().status_code == 400  # version 8 is known
        free.set()
        assert first.result().json()["version"] == "7"
        assert client.post("/predict", content=cover(1)).json()["version"] == "8"


def test_an_image_on_which_the_model_fails_spoils_no_other(
    start: Start, served: ServedModel, cover: Cover
) -> None:
    bad = cover(1)

    def ask(images: Sequence[bytes]) -> Outputs:
        if bad in images:
            raise DeploymentError("Expected a model. Received: /secret/path.")
        return served.ask(images)

    with start(changed(served, ask)) as client, ThreadPoolExecutor(2) as pool:
        posts = [pool.submit(client.post, "/predict", content=each) for each in (bad, cover(2))]
        failed, fine = (each.result() for each in posts)
        assert (failed.status_code, fine.status_code) == (500, 200)
        assert "secret" not in failed.text
        assert client.post("/predict", content=cover(2)).status_code == 200


def test_a_full_server_says_so_at_once(start: Start, served: ServedModel, cover: Cover) -> None:
    free = threading.Event()

    def ask(images: Sequence[bytes]) -> Outputs:
        free.wait(10)
        return served.ask(images)

    with start(changed(served, ask), queue=2) as client, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.post, "/predict", content=cover(n)) for n in range(2)]
        while client.app.state.engine._images < 2:  # type: ignore[attr-defined]
            time.sleep(0.01)
        refused = client.post("/predict", content=cover(3))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert client.get("/healthz").status_code == 200
        free.set()
        assert [each.result().status_code for each in waiting] == [200, 200]
        assert counted(client, "covers_refusals_total", reason="overloaded") == 1
        assert client.post("/predict", content=cover(3)).status_code == 200


def test_a_slow_answer_is_given_up(start: Start, served: ServedModel, cover: Cover) -> None:
    free = threading.Event()

    def ask(images: Sequence[bytes]) -> Outputs:
        free.wait(10)
        return served.ask(images)

    with start(changed(served, ask), timeout=0.2) as client:
        assert client.post("/predict", content=cover(1)).status_code == 504
        free.set()
        assert client.post("/predict", content=cover(1)).status_code == 200
        engine = client.app.state.engine  # type: ignore[attr-defined]
        assert engine._images == 0 == len(engine._batcher._queue)


def test_a_body_that_does_not_arrive_is_given_up(served: ServedModel) -> None:
    app = create_app(ServingSettings(timeout=0.1), ModelHolder(served))
    sent: list[Any] = []

    async def receive() -> Any:
        if not sent:
            sent.append(None)
            return {"type": "http.request", "body": b"x", "more_body": True}
        return await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    async def post() -> None:
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [],
        "query_string": b"",
    }
    asyncio.run(post())
    assert sent[1]["status"] == 408 and app.state.engine._bytes == 0


def test_large_or_compressed_bodies_are_refused(start: Start, cover: Cover) -> None:
    with start(max_body=20_000) as client:
        answer = client.post("/v1/models/covers:predict", content=b"x" * 20_001)
        assert answer.status_code == 413 and "20,000 bytes" in answer.json()["error"]
        chunks = (b"x" * 9_000 for _ in range(3))
        assert client.post("/predict", content=chunks).status_code == 413
        gzip = {"content-encoding": "gzip"}
        assert client.post("/predict", content=b"x", headers=gzip).status_code == 415
        assert client.app.state.engine._bytes == 0  # type: ignore[attr-defined]
        assert client.post("/predict", content=cover(1)).status_code == 200


def test_nothing_is_ready_without_a_model_or_while_stopping(start: Start) -> None:
    with start(ModelHolder()) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").status_code == 503
        refused = client.post("/v1/models/covers:predict", json={})
        assert refused.status_code == 503 and "Retry-After" in refused.headers
        assert client.get("/v1/models/covers").status_code == 503
    with start() as client:
        assert client.get("/readyz").json() == {"status": "ready", "version": "7"}
        client.app.state.engine.stopping = True  # type: ignore[attr-defined]
        assert client.get("/readyz").status_code == 503


def test_metrics_have_the_paths_of_routes_only(client: TestClient, cover: Cover) -> None:
    client.post("/predict", content=cover(1))
    client.get("/v1/models/x1")
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    assert 'covers_requests_total{code="200",path="/predict"}' in text
    assert 'path="/v1/models/{name}"' in text and 'path="other"' in text
    assert "nowhere" not in text and "x1" not in text


def test_an_unforeseen_error_has_no_traceback(start: Start, served: ServedModel) -> None:
    class Broken(ModelHolder):
        @property
        def model(self) -> ServedModel:
            raise RuntimeError("secret")

    with start(Broken()) as client:
        answer = client.post("/predict", content=b"x")
        assert answer.status_code == 500 and "secret" not in answer.text
        assert set(answer.json()) == {"error"}


def test_a_request_that_the_end_cuts_off_is_counted() -> None:
    metrics = Metrics()

    async def forever(*_: Any) -> None:
        await asyncio.sleep(60)

    async def cut_off() -> None:
        watch: Any = Watch(forever, metrics, print, None)
        scope = {"type": "http", "method": "GET", "path": "/"}
        request = asyncio.create_task(watch(scope, None, None))
        await asyncio.sleep(0)
        assert (metrics.busy, metrics.cut_off) == (1, 0)
        request.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await request

    asyncio.run(cut_off())
    assert (metrics.busy, metrics.cut_off) == (0, 1)


def test_a_request_of_more_images_than_the_queue_has_places_is_too_large(start: Start) -> None:
    with start(queue=2) as client:
        answer = client.post("/predict", files=[("file", ("a.jpg", b"x"))] * 3)
        assert answer.status_code == 413


def test_a_listener_gets_all_answers_and_harms_none(served: ServedModel, cover: Cover) -> None:
    heard: list[Answered] = []
    said: list[str] = []

    def listen(answers: Sequence[Answered]) -> None:
        heard.extend(answers)
        raise RuntimeError("no room")

    app = create_app(ServingSettings(), ModelHolder(served), on_answers=listen, say=said.append)
    webp = cover(2, "WEBP")
    with TestClient(app) as client:
        files: Any = [("file", ("a.jpg", cover(1))), ("file", ("b", webp)), ("file", ("c", b"x"))]
        assert client.post("/predict", files=files).status_code == 200
    assert [each.version for each in heard] == [7, 7]
    assert heard[0].image == cover(1) and heard[1].image != webp
    assert heard[1].facts.converted_from == "WebP"
    assert heard[0].probabilities.shape == heard[0].decisions.shape == (3,)
    assert said == ["answers could not be passed on: RuntimeError: no room"]


def test_the_description_of_the_api_is_complete(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert "/v1/models/{name}/versions/{version}:predict" in described["paths"]
    for path in ("/predict", "/v1/models/{name}:predict", "/v2/models/{name}/infer"):
        operation = described["paths"][path]["post"]
        assert operation["requestBody"]["content"]
        assert operation["responses"]["200"]["content"]["application/json"]["example"]
        named = [(each["name"], each["in"]) for each in operation.get("parameters", [])]
        assert named == ([("name", "path")] if "{name}" in path else [])
    page = client.get("/docs")
    assert all(path in page.text for path in described["paths"])
    assert "http://" not in page.text and "https://" not in page.text
