"""Genre names as people write them, and folders as people have them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.contracts.label_schema import LabelSchema
from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.rows import match_genres
from components.cover_example_gen.sources import find_source

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("names", "genres"),
    [
        (["rock"], ["rock"]),
        (["ROCK", " Rock "], ["rock"]),
        (["Hip-Hop"], ["hiphop"]),
        (["hip hop", "HIP_HOP"], ["hiphop"]),
        (["pop", "rock"], ["pop", "rock"]),
        (["rock;pop"], ["pop", "rock"]),
        (["rock, pop"], ["pop", "rock"]),
        (["Rock / Pop"], ["pop", "rock"]),
        (["rock;", ";pop"], ["pop", "rock"]),
    ],
)
def test_variants_of_a_genre_are_one(
    names: list[str], genres: list[str], labels: LabelSchema
) -> None:
    assert list(match_genres(tuple(names), labels)) == genres


NAMES = (
    "Dance/Electronic",
    "Pop",
    "R&B/Soul",
    "Folk, World, & Country",
    "Rock",
    "Hip-Hop/Rap",
    "Drum & Bass",
    "!!!",
    "+/-",
    "électro",
    "electro",
    "東京",
    "हिन्दी",
    "हिन्द",
    "ไทย",
)


@pytest.mark.parametrize(
    ("text", "genres"),
    [
        ("Dance/Electronic, Pop", ["Dance/Electronic", "Pop"]),
        ("Pop,dance / electronic;ROCK", ["Dance/Electronic", "Pop", "Rock"]),
        ("Folk, World, & Country, Rock", ["Folk, World, & Country", "Rock"]),
        ("Rock, Folk, World, & Country", ["Folk, World, & Country", "Rock"]),
        ("Rock Folk, World, & Country Pop", ["Folk, World, & Country", "Pop", "Rock"]),
        ("folk, world & country", ["Folk, World, & Country"]),
        ("R&B/Soul/Pop", ["Pop", "R&B/Soul"]),
        ("R&B, Soul", ["R&B/Soul"]),
        ("pop rock", ["Pop", "Rock"]),
        ("pop & rock", ["Pop", "Rock"]),
        ("pop+rock", ["Pop", "Rock"]),
        ("Drum & Bass Pop", ["Drum & Bass", "Pop"]),
        ("- rock -", ["Rock"]),
        ("rock, & , pop", ["Pop", "Rock"]),
        ("!!!", ["!!!"]),
        ("!!!, rock", ["!!!", "Rock"]),
        ("Rock !!!", ["!!!", "Rock"]),
        ("+/-", ["+/-"]),
        ("+/-/rock", ["+/-", "Rock"]),
        ("rock, +/- , ！！！", ["!!!", "+/-", "Rock"]),  # noqa: RUF001
        ("ÉLECTRO; electro", ["electro", "électro"]),
        ("e\u0301lectro", ["électro"]),
        ("東京、Ｐｏｐ；ไทย", ["Pop", "ไทย", "東京"]),  # noqa: RUF001
        ("हिन्दी", ["हिन्दी"]),
        ("हिन्द / हिन्दी", ["हिन्द", "हिन्दी"]),
    ],
)
def test_names_may_hold_separators_and_any_script(
    text: str, genres: list[str], labels: LabelSchema
) -> None:
    schema = dataclasses.replace(labels, genres=NAMES)
    assert match_genres((text,), schema) == tuple(sorted(genres))


@pytest.mark.parametrize(
    ("text", "names", "genres"),
    [
        ("pop, rock", ("Pop/Rock", "Pop", "Rock"), ["Pop", "Rock"]),
        ("Pop / Rock", ("Pop/Rock", "Pop", "Rock"), ["Pop/Rock"]),
        ("pop, rock", ("Pop/Rock", "Pop"), ["Pop/Rock"]),
        ("hip, hop", ("hiphop", "pop"), ["hiphop"]),
        ("a b c", ("a b", "b c", "a", "c"), ["a b", "c"]),
        ("a, b, c", ("a, b", "b, c", "a"), ["a", "b, c"]),
    ],
)
def test_of_several_readings_the_likeliest_is_taken(
    text: str, names: tuple[str, ...], genres: list[str], labels: LabelSchema
) -> None:
    schema = dataclasses.replace(labels, genres=names)
    assert match_genres((text,), schema) == tuple(genres)


def test_names_given_one_by_one_are_not_divided(labels: LabelSchema) -> None:
    assert match_genres(("Rock", "pop"), labels, True) == ("pop", "rock")
    with pytest.raises(RowRejected, match=r"Received: rock, pop\."):
        match_genres(("rock, pop", "jazz"), labels, True)


@pytest.mark.parametrize(
    "unit", [";", " ", "&", "- ", "a,", "pop ", "pop,", "!!!;", "p,o,p,", "!!! pop", "ก็"]
)
def test_a_hostile_cell_is_read_in_bounded_time(unit: str, labels: LabelSchema) -> None:
    schema = dataclasses.replace(labels, genres=("pop", "p o p o p o p", "!!!", "ไทย"))
    started = time.process_time()
    schema.find_all([unit * (60_000 // len(unit))], listed=False)
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    ("names", "reason", "message"),
    [
        ([], Reason.NO_GENRE, "Received: none"),
        ([";"], Reason.NO_GENRE, "Received: none"),
        (["rock", "polka"], Reason.UNKNOWN_GENRE, "Received: polka"),
        (["rock;polka/ska"], Reason.UNKNOWN_GENRE, r"Received: polka\|ska"),
        (["!!!"], Reason.UNKNOWN_GENRE, r"Received: !!!\."),
        (["rock, -"], Reason.UNKNOWN_GENRE, r"Received: -\."),
        (["rock polka"], Reason.UNKNOWN_GENRE, r"Received: rock polka\."),
        (["jazz & blues, rock", "Ska"], Reason.UNKNOWN_GENRE, r"Received: jazz & blues\|Ska\."),
        (["ไทย"], Reason.UNKNOWN_GENRE, "Received: ไทย"),
    ],
)
def test_names_that_are_no_genre_are_rejected(
    names: list[str], reason: Reason, message: str, labels: LabelSchema
) -> None:
    with pytest.raises(RowRejected, match=message) as caught:
        match_genres(tuple(names), labels)
    assert caught.value.reason is reason


def test_a_folder_that_hides_files_is_a_row(tmp_path: Path, write_cover: Write) -> None:
    write_cover(tmp_path / "data" / "rock" / "a.jpg", 1)
    write_cover(tmp_path / "data" / "rock" / "album.jpg" / "front.jpg", 2)
    write_cover(tmp_path / "elsewhere" / "b.jpg", 3)
    (tmp_path / "data" / "pop").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "rock" / "again").symlink_to(tmp_path / "data" / "rock")
    rows = {row.path: row.genres for row in find_source(tmp_path / "data").rows()}
    assert rows == {
        "pop": (),
        "rock/a.jpg": ("rock",),
        "rock/again": ("rock",),
        "rock/album.jpg": ("rock",),
        "rock/album.jpg/front.jpg": ("rock",),
    }


def test_folders_of_genres_are_ingested_with_their_faults(
    tmp_path: Path, write_cover: Write, ingest: Callable[..., Any]
) -> None:
    for seed in range(20):
        write_cover(tmp_path / "data" / "Hip-Hop" / f"{seed}.JPG", seed)
    write_cover(tmp_path / "data" / "polka" / "a.jpg", 50)
    write_cover(tmp_path / "data" / "loose.jpg", 51)
    write_cover(tmp_path / "elsewhere" / "b.jpg", 52)
    (tmp_path / "data" / "rock").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "Hip-Hop" / "notes.txt").write_text("to do")
    result = ingest(tmp_path / "data")
    assert result.reasons() == {
        "polka/a.jpg": "unknown_genre",
        "loose.jpg": "no_genre",
        "rock": "outside_data_directory",
        "Hip-Hop/notes.txt": "not_an_image",
    }
    assert result.summary.examples == 20
    absent = {genre for genre, n in result.summary.genres_by_split["train"].items() if not n}
    assert absent == {"electronic", "jazz", "pop", "rock"}
