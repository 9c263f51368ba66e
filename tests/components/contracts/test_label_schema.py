from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf import text_format

from components.contracts.genre_names import spelling
from components.contracts.label_schema import LabelSchema, read_schema, set_genres
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


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Hip-Hop", "HIP_HOP", True),
        ("électro", "e\u0301lectro", True),
        ("électro", "electro", False),
        ("हिन्दी", "हिन्द", False),
        ("ไทย", "ไท", False),
        ("กิน", "กัน", False),
        ("ＰＯＰ", "pop", True),  # noqa: RUF001
        ("ﾛｯｸ", "ロック", True),
        ("Straße", "STRASSE", True),
        ("HALK MÜZİĞİ", "Halk Müziği", True),
        ("!!!", "! ! !", True),
        ("!!!", "!!", False),
        ("🎸", "🎸\ufe0f", True),
        ("rock 🎸\ufe0f", "rock", True),
        ("R&B", "RnB", False),
    ],
)
def test_names_are_the_same_genre(one: str, other: str, is_same: bool) -> None:
    assert (spelling(one) == spelling(other)) is is_same


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\u00a0"])
def test_what_nobody_sees_is_no_name(name: str) -> None:
    assert spelling(name) == ""


def test_names_in_any_script_are_kept_as_they_are(schema_path: Path) -> None:
    names = ("Folk, World, & Country", "R&B/Soul", "électro", "東京", "हिन्दी", "ไทย", "!!!")
    schema = read_schema(schema_path)
    set_genres(schema, names)
    assert LabelSchema.from_proto(schema).genres == names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("pop", "rock|pop"), "Received: 'rock|pop'"),
        (("pop", "  "), "Received: '  '"),
        (("pop", "rock\nroll"), "no line break"),
        (("électro", "e\u0301lectro"), "Received: 'électro' and 'e"),
        (("Hip-Hop", "hip hop"), "Received: 'Hip-Hop' and 'hip hop'"),
    ],
)
def test_names_that_cannot_be_told_apart_or_written_are_refused(
    schema_path: Path, names: tuple[str, ...], message: str
) -> None:
    schema = read_schema(schema_path)
    set_genres(schema, names)
    with pytest.raises(ConfigError, match=re.escape(message)):
        LabelSchema.from_proto(schema)


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


def _schema_of(genres: list[str], path: Path) -> str:
    schema = read_schema(path)
    set_genres(schema, genres)
    return str(text_format.MessageToString(schema, as_utf8=True))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#" * (2 << 20), "at most 1,048,576 characters"),
        ("feature { struct_domain { " * 20_000, "in text format"),
        ("feature " + "x" * 50_000, "characters left out"),
        ('feature { name: "\ud800" }', "in text format"),
    ],
)
def test_a_hostile_schema_is_refused_in_few_words(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)) as caught:
        LabelSchema.from_text(text)
    assert len(str(caught.value)) < 600


def test_genres_are_bounded_and_messages_name_the_first_few(schema_path: Path) -> None:
    many = [f"genre number {n}" for n in range(10_001)]
    with pytest.raises(ConfigError, match=r"at most 10,000 genres\. Received: 10,001"):
        LabelSchema.from_text(_schema_of(many, schema_path))
    with pytest.raises(ConfigError, match=r"at most 100 characters\. Received: 5,000"):
        LabelSchema.from_text(_schema_of(["a" * 5000, "b"], schema_path))
    text = _schema_of(many[:-1], schema_path).replace("size: 10000", "size: 9")
    with pytest.raises(ConfigError, match="and 9,988 more") as caught:
        LabelSchema.from_text(text)
    assert len(str(caught.value)) < 1000
