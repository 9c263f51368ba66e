"""Covers that have none of the genres, where the data may say so."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Draw = Callable[..., Image.Image]


def _write_covers(folder: Path, draw_cover: Draw, count: int) -> list[str]:
    names = [f"{n}.jpg" for n in range(count)]
    for n, name in enumerate(names):
        buffer = io.BytesIO()
        draw_cover(n, 100).save(buffer, "JPEG")
        (folder / name).write_bytes(buffer.getvalue())
    return names


def _negatives(ingested: Any) -> set[str]:
    """Returns the paths of examples without genres, whose labels must be all zeros."""
    found = set()
    for _, example in ingested.examples().values():
        features = example.features.feature
        none = "genres" not in features or not features["genres"].bytes_list.value
        assert none == (sum(features["label"].float_list.value) == 0)
        assert len(features["label"].float_list.value) == 5
        if none:
            found.add(features["image/path"].bytes_list.value[0].decode())
    return found


CSV = (
    "image,genres\n0.jpg,pop\n1.jpg,\n2.jpg,  \n3.jpg,polka\n4.jpg,rock\n5.jpg,pop|polka\n6.jpg,|\n"
)
ONE_HOT = "image,pop,rock\n0.jpg,1,0\n1.jpg,0,0\n2.jpg,,\n4.jpg,0,1\n6.jpg,false,no\n"
JSONL = "".join(
    f'{{"image": "{n}.jpg", "genres": {genres}}}\n'
    for n, genres in enumerate(('["pop"]', "[]", '""', '["polka"]', '["rock"]', '["pop"]', "[]"))
)


@pytest.mark.parametrize(
    ("name", "text", "options", "unknown"),
    [
        ("labels.csv", CSV, {}, {"3.jpg", "5.jpg"}),
        ("labels.csv", ONE_HOT, {"columns": {"genres": ["pop", "rock"]}}, set()),
        ("labels.jsonl", JSONL, {}, {"3.jpg"}),
    ],
)
def test_rows_that_name_no_genre_are_negatives_if_that_is_allowed(
    ingest: Callable[..., Any],
    tmp_path: Path,
    draw_cover: Draw,
    name: str,
    text: str,
    options: dict[str, Any],
    unknown: set[str],
) -> None:
    _write_covers(tmp_path, draw_cover, 7)
    (tmp_path / name).write_text(text)
    none = {"1.jpg", "2.jpg", "6.jpg"}
    refused = ingest(tmp_path, **options)
    assert {path for path, reason in refused.reasons().items() if reason == "no_genre"} == none
    assert _negatives(refused) == set()
    assert refused.summary.without_genre == 0
    allowed = ingest(tmp_path, allow_no_genre=True, **options)
    assert _negatives(allowed) == none
    assert allowed.reasons() == dict.fromkeys(unknown, "unknown_genre")
    assert allowed.summary.without_genre == len(none)


def test_a_file_beside_the_folders_of_the_genres_has_said_nothing(
    ingest: Callable[..., Any], tmp_path: Path, draw_cover: Draw
) -> None:
    for folder in ("pop", "rock"):
        (tmp_path / folder).mkdir()
    for n, name in enumerate(_write_covers(tmp_path, draw_cover, 5)):
        if n:
            (tmp_path / name).rename(tmp_path / ("pop", "rock")[n % 2] / name)
    ingested = ingest(tmp_path, allow_no_genre=True)
    assert ingested.summary.without_genre == 0
    assert ingested.reasons() == {"0.jpg": "no_genre"}


def test_a_copy_with_a_genre_gives_it_to_one_without(
    ingest: Callable[..., Any], tmp_path: Path, draw_cover: Draw
) -> None:
    _write_covers(tmp_path, draw_cover, 4)
    with Image.open(tmp_path / "0.jpg") as cover:
        cover.save(tmp_path / "copy.jpg", quality=50)
    (tmp_path / "labels.csv").write_text(
        "image,genres\n0.jpg,pop\n1.jpg,rock\n2.jpg,jazz\n3.jpg,\ncopy.jpg,\n"
    )
    assert _negatives(ingest(tmp_path, allow_no_genre=True)) == {"3.jpg"}
