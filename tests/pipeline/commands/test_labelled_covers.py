"""Labelled covers for a model: which rows of given data say something about its genres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.support.errors import DataError
from pipeline.commands.labelled_covers import read_labelled_covers

Write = Callable[..., Path]
GENRES = ("rock", "Folk, World, & Country", "électro")


def test_rows_of_other_genres_are_counted_by_reason(tmp_path: Path, write_cover: Write) -> None:
    rows = [
        ("1.jpg", "Rock"),
        ("2.jpg", "Folk, World, & Country, Rock"),
        ("3.jpg", "e\u0301lectro|polka"),
        ("4.jpg", "polka"),
        ("5.jpg", "ska / polka"),
        ("6.jpg", ""),
        ("7.jpg", "rock"),
        ("gone.jpg", "rock"),
    ]
    for name, _ in rows[:-2]:
        write_cover(tmp_path / name, int(name[0]))
    (tmp_path / "7.jpg").write_text("<html></html>")
    lines = "".join(f'{name},"{genres}"\n' for name, genres in rows)
    (tmp_path / "labels.csv").write_text(f"image,genres\n{lines}", encoding="utf-8")
    found = read_labelled_covers(tmp_path / "labels.csv", GENRES)
    assert found.labels.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert found.encoded == [(tmp_path / f"{n}.jpg").read_bytes() for n in (1, 2, 3)]
    assert found.left_out == {
        "unknown_genre": 2,
        "no_genre": 1,
        "not_an_image": 1,
        "missing_file": 1,
    }
    assert list(found.account()) == [
        "8 rows given, 3 used, 5 left out (unknown_genre 2, no_genre 1, not_an_image 1, "
        "missing_file 1)",
        "genres that the model does not know: polka 3, ska 1; 1 rows have known ones too",
    ]


def test_folders_of_more_genres_than_the_model_has(tmp_path: Path, write_cover: Write) -> None:
    for number, genre in enumerate(("rock", "électro", "polka", "ska")):
        write_cover(tmp_path / genre / "a.jpg", number)
    write_cover(tmp_path / "électro" / "b.jpg", 0)  # the same cover as that of rock
    found = read_labelled_covers(tmp_path, GENRES)
    assert sorted(found.labels.tolist()) == [[0, 0, 1], [1, 0, 1]]
    assert (found.rows, found.left_out) == (5, {"unknown_genre": 2})


def test_ids_without_ending_and_images_in_a_manifest(tmp_path: Path, write_cover: Write) -> None:
    cover = write_cover(tmp_path / "ids" / "images" / "0001.jpg", 1)
    (tmp_path / "ids" / "labels.csv").write_text("image,genres\n0001,rock\n")
    assert read_labelled_covers(tmp_path / "ids", GENRES).encoded == [cover.read_bytes()]
    table = {
        "image": [{"bytes": cover.read_bytes(), "path": None}],
        "genres": [["rock", "électro"]],
    }
    (tmp_path / "bytes").mkdir()
    parquet.write_table(pa.table(table), tmp_path / "bytes" / "train.parquet")
    found = read_labelled_covers(tmp_path / "bytes", GENRES)
    assert found.encoded == [cover.read_bytes()]
    assert found.labels.tolist() == [[1, 0, 1]]


def test_data_without_any_genre_of_the_model_say_what_they_have(
    tmp_path: Path, write_cover: Write
) -> None:
    write_cover(tmp_path / "polka" / "a.jpg", 1)
    with pytest.raises(DataError, match=r"1 left out \(unknown_genre 1\); .* polka 1"):
        read_labelled_covers(tmp_path, GENRES)
