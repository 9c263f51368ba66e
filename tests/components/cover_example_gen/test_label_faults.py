"""Genre names as people write them, and folders as people have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.contracts.label_schema import LabelSchema, split_genres
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


def test_a_genre_whose_name_holds_separators_is_matched_whole(labels: LabelSchema) -> None:
    import dataclasses

    folk = dataclasses.replace(labels, genres=("Folk, World, & Country", "rock"))
    assert match_genres(("folk, world & country",), folk) == ("Folk, World, & Country",)
    assert match_genres(("rock",), folk) == ("rock",)


@pytest.mark.parametrize(
    ("names", "reason", "message"),
    [
        ([], Reason.NO_GENRE, "Received: none"),
        ([";"], Reason.NO_GENRE, "Received: none"),
        (["rock", "polka"], Reason.UNKNOWN_GENRE, "Received: polka"),
        (["rock;polka/ska"], Reason.UNKNOWN_GENRE, r"Received: polka\|ska"),
        (["!!!"], Reason.UNKNOWN_GENRE, "Received: !!!"),
    ],
)
def test_names_that_are_no_genre_are_rejected(
    names: list[str], reason: Reason, message: str, labels: LabelSchema
) -> None:
    with pytest.raises(RowRejected, match=message) as caught:
        match_genres(tuple(names), labels)
    assert caught.value.reason is reason


def test_splitting_keeps_no_empty_parts() -> None:
    assert split_genres(" a ;; b,/c ") == ["a", "b", "c"]


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
