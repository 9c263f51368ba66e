"""Files in, genres out."""

from __future__ import annotations

from collections.abc import Callable

from starlette.testclient import TestClient

from pipeline.serving.answers import decimals
from pipeline.serving.model import ServedModel

Cover = Callable[..., bytes]


def test_each_file_has_its_genres_or_its_reason(
    client: TestClient, cover: Cover, served: ServedModel
) -> None:
    names = ("a.jpg", "b\x1b[2J<b>.png", "cut.jpg", "page.jpg", "none.jpg")
    contents = (cover(1), cover(2, "PNG"), cover(1)[:-300], b"<html></html>", b"")
    files = [("file", each) for each in zip(names, contents, strict=True)]
    answer = client.post("/predict", files=files)
    assert answer.status_code == 200 and answer.json()["version"] == "7"
    images = answer.json()["images"]
    probabilities, decisions = served.ask(contents[:2])
    for image, probable, decided in zip(images, probabilities, decisions, strict=False):
        assert list(image["probabilities"]) == list(served.genres)
        assert list(image["probabilities"].values()) == decimals(probable)
        assert image["genres"] == [g for g, yes in zip(served.genres, decided, strict=True) if yes]
    reasons = [image["reason"] for image in images[2:]]
    assert reasons == ["undecodable_image", "not_an_image", "empty_file"]
    assert all("Expected" in image["error"] for image in images[2:])
    assert answer.text.isprintable() and images[0]["image"] == "a.jpg"


def test_one_image_may_be_the_body(client: TestClient, cover: Cover) -> None:
    for kind in ("image/jpeg", "application/x-www-form-urlencoded", None):
        headers = {"content-type": kind} if kind else {}
        answer = client.post("/predict", content=cover(1), headers=headers)
        assert answer.status_code == 200 and answer.json()["images"][0]["genres"]


def test_what_cannot_be_read_is_said(client: TestClient, cover: Cover) -> None:
    assert client.post("/predict", content=b"x").status_code == 422
    assert client.post("/predict").status_code == 400
    form = {"content-type": "multipart/form-data"}
    for body, more in ((b"x", ""), (b"x", "; boundary=a"), (b"--a\r\n\r\n", "; boundary=a")):
        headers = {"content-type": form["content-type"] + more}
        answer = client.post("/predict", content=body, headers=headers)
        assert answer.status_code == 400 and "error" in answer.json()
        assert ".." not in answer.json()["error"]
    many = [("file", ("a.jpg", b"x"))] * 65
    for _ in range(2):
        answer = client.post("/predict", files=many)
        assert answer.status_code == 413 and "at most 64" in answer.json()["error"]
        many = many * 2


def test_a_file_of_more_than_ingests_limit_has_that_reason(client: TestClient) -> None:
    answer = client.post("/predict", content=b"\xff\xd8\xff" + b"\0" * (32 << 20))
    assert answer.json()["images"][0]["reason"] == "file_too_large"


def test_head_is_answered_as_get_is_without_the_body(client: TestClient) -> None:
    for path in ("/", "/docs", "/healthz", "/readyz", "/metrics", "/v1/models/covers", "/none"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
    assert client.head("/predict").status_code == 405
    assert 'path="/healthz"' in client.get("/metrics").text
