from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts.label_schema import LabelSchema
from components.support.errors import ConfigError


def test_reads_genres_in_the_order_of_the_domain(labels: LabelSchema) -> None:
    assert labels.genres == ("electronic", "hiphop", "jazz", "pop", "rock")
    assert labels.image_formats == ("JPEG", "PNG")
    assert (labels.smallest_side, labels.largest_side) == (64, 10_000)


def test_multi_hot_follows_the_order_of_the_genres(labels: LabelSchema) -> None:
    assert labels.multi_hot(["rock", "electronic"]) == [1.0, 0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("name", ["hiphop", "Hip-Hop", " hip hop ", "HIP_HOP"])
def test_spellings_of_one_genre_match(labels: LabelSchema, name: str) -> None:
    assert labels.match(name) == "hiphop"


def test_an_unknown_genre_matches_nothing(labels: LabelSchema) -> None:
    assert labels.match("polka") is None
    assert labels.match("--") is None


def test_adding_a_genre_without_resizing_the_label_is_explained(
    schema_path: Path, tmp_path: Path
) -> None:
    edited = tmp_path / "schema.pbtxt"
    edited.write_text(
        schema_path.read_text().replace('value: "jazz"', 'value: "jazz"\n  value: "soul"')
    )
    with pytest.raises(ConfigError, match=r"size: 6 .*Received: \[5\]"):
        LabelSchema.from_file(edited)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feature { name: ", "text format"),
        ("", "Missing: image/encoded"),
    ],
)
def test_a_file_that_is_no_label_schema_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        LabelSchema.from_file(path)


def test_a_missing_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Expected a schema file"):
        LabelSchema.from_file(tmp_path / "none.pbtxt")
