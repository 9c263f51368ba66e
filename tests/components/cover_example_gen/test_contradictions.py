"""Copies of a picture that name different genres, and pictures in place of many covers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from components.contracts.quarantine import read_contradictions
from components.cover_example_gen.near_duplicates import DISTANCE, SAME_PICTURE, NearDuplicates

Draw = Callable[..., Image.Image]
GENRES = ("electronic", "hiphop", "jazz", "pop", "rock")


def _encode(image: Image.Image, quality: int = 90, form: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, form, quality=quality)
    return buffer.getvalue()


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, encoded in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
    return folder


def _with_manifest(folder: Path, rows: list[tuple[str, bytes, str]]) -> Path:
    _write(folder, {name: encoded for name, encoded, _ in rows})
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("image", "genres"), *((name, genres) for name, _, genres in rows)]
        )
    return folder


def _covers(draw_cover: Draw, count: int) -> list[tuple[str, bytes, str]]:
    return [
        (f"{n:04d}.jpg", _encode(draw_cover(n, 120)), GENRES[n % len(GENRES)]) for n in range(count)
    ]


def _flipped(base: bytes, count: int) -> bytes:
    bits = np.unpackbits(np.frombuffer(base, np.uint8))
    bits[np.random.default_rng(1).choice(256, count, replace=False)] ^= 1
    return np.packbits(bits).tobytes()


@pytest.fixture
def copied(tmp_path: Path, draw_cover: Draw) -> Path:
    """Covers of two folders; three of them again in the other, coded differently."""
    files = {f"pop/{n}.jpg": _encode(draw_cover(n, 200)) for n in range(8)}
    files |= {f"rock/{n}.jpg": _encode(draw_cover(n, 200)) for n in range(10, 18)}
    files["rock/quality.jpg"] = _encode(draw_cover(0, 200), 50)
    files["rock/small.jpg"] = _encode(draw_cover(1, 200).resize((120, 120)))
    files["rock/lossless.png"] = _encode(draw_cover(2, 200), form="PNG")
    files["pop/same_genre.jpg"] = _encode(draw_cover(3, 200), 50)
    return _write(tmp_path / "covers", files)


COPIES = {
    frozenset(("pop/0.jpg", "rock/quality.jpg")),
    frozenset(("pop/1.jpg", "rock/small.jpg")),
    frozenset(("pop/2.jpg", "rock/lossless.png")),
}


def _genres_by_path(ingested: Any) -> dict[str, set[str]]:
    return {
        path.decode(): {g.decode() for g in example.features.feature["genres"].bytes_list.value}
        for _, example in ingested.examples().values()
        for path in example.features.feature["image/path"].bytes_list.value
    }


@pytest.mark.parametrize(
    ("choice", "outcome"),
    [(None, "merged"), ("merge", "merged"), ("keep", "kept"), ("quarantine", "quarantined")],
)
def test_copies_in_two_folders(
    ingest: Callable[..., Any], copied: Path, choice: str | None, outcome: str
) -> None:
    options = {"near_duplicates": {"labels": choice}} if choice else {}
    ingested = ingest(copied, **options)
    found = read_contradictions(ingested.folder / "quarantine")
    assert {frozenset(pair.paths) for pair in found} == COPIES
    assert {pair.outcome for pair in found} == {outcome}
    assert {frozenset(pair.genres) for pair in found} == {frozenset({("pop",), ("rock",)})}
    assert ingested.summary.contradicting_pairs == {outcome: 3}
    paths = {path for pair in COPIES for path in pair}
    genres = _genres_by_path(ingested)
    if outcome == "quarantined":
        assert ingested.reasons() == dict.fromkeys(paths, "contradicting_labels")
        assert not paths & genres.keys()
    else:
        assert ingested.reasons() == {}
        expected = {"pop", "rock"} if outcome == "merged" else None
        for path in paths:
            assert genres[path] == (expected or {path.split("/")[0]})
    assert genres["pop/4.jpg"] == {"pop"}
    assert ingested.summary.united_labels == 0


def test_a_merged_label_is_a_positive_of_both(ingest: Callable[..., Any], copied: Path) -> None:
    for _, example in ingest(copied).examples().values():
        features = example.features.feature
        genres = {genre.decode() for genre in features["genres"].bytes_list.value}
        label = list(features["label"].float_list.value)
        assert label == [float(genre in genres) for genre in GENRES]


def test_the_same_picture_is_nearer_than_a_near_duplicate() -> None:
    base = np.random.default_rng(0).bytes(32)
    hashes = [
        base,
        _flipped(base, SAME_PICTURE),
        _flipped(base, SAME_PICTURE + 20),
        np.random.default_rng(5).bytes(32),
    ]
    levels = np.random.default_rng(2).integers(0, 256, (4, 64), dtype=np.uint8)
    near = NearDuplicates.find(["a", "b", "c", "d"], hashes, [each.tobytes() for each in levels])
    assert SAME_PICTURE + 20 < DISTANCE
    assert {tuple(pair) for pair in near.pairs.tolist()} >= {(1, 0), (2, 0)}
    pictures = near.same_pictures().tolist()
    assert pictures[0] == pictures[1]
    assert len(set(pictures)) == 3
    some = near.among({"a", "c", "d"})
    assert some.ids == ["a", "c", "d"]
    assert some.pairs.tolist() == [[1, 0]]
    assert some.distances.tolist() == [SAME_PICTURE + 20]


@pytest.mark.parametrize(("noise", "same"), [(1.0, True), (10.0, False)])
def test_near_duplicates_with_like_thumbnails_are_the_same_picture(
    noise: float, same: bool
) -> None:
    random = np.random.default_rng(0)
    base = random.bytes(32)
    level = random.uniform(20, 230, 64)
    levels = [level, level + random.normal(0, noise, 64)]
    thumbnails = [each.astype(np.uint8).tobytes() for each in levels]
    near = NearDuplicates.find(["a", "b"], [base, _flipped(base, 40)], thumbnails)
    assert near.same.tolist() == [same]
    far = NearDuplicates.find(["a", "b"], [base, random.bytes(32)], thumbnails)
    assert far.same.tolist() == []


def test_other_editions_keep_their_own_genres(
    ingest: Callable[..., Any], tmp_path: Path, draw_cover: Draw
) -> None:
    edition = draw_cover(1, 200)
    ImageDraw.Draw(edition).ellipse((178, 178, 196, 196), fill="white")
    rows = [
        ("first.jpg", _encode(draw_cover(1, 200)), "pop"),
        ("second.jpg", _encode(edition), "rock"),
    ]
    rows += [(f"{n}.jpg", _encode(draw_cover(n, 200)), "jazz") for n in range(5, 9)]
    ingested = ingest(_with_manifest(tmp_path, rows))
    (pair,) = read_contradictions(ingested.folder / "quarantine")
    assert SAME_PICTURE < pair.distance <= DISTANCE
    assert pair.outcome == "kept"
    assert _genres_by_path(ingested)["first.jpg"] == {"pop"}


def _words(text: str) -> Image.Image:
    image = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(image).text((30, 80), text, fill="black", font_size=32)
    return image


@pytest.mark.parametrize("picture", ["grey", "words", "one file"])
def test_a_placeholder_is_named_and_set_aside(
    ingest: Callable[..., Any], tmp_path: Path, draw_cover: Draw, picture: str
) -> None:
    image = Image.new("RGB", (300, 300), (200,) * 3) if picture == "grey" else _words("no image")
    rows = _covers(draw_cover, 60)
    rows += [
        (
            f"none{n:02d}.jpg",
            _encode(image, 90 if picture == "one file" else 60 + n),
            GENRES[n % len(GENRES)],
        )
        for n in range(30)
    ]
    ingested = ingest(_with_manifest(tmp_path, rows))
    (found,) = ingested.summary.placeholders
    assert (found.path, found.rows, found.label_sets) == ("none00.jpg", 30, len(GENRES))
    assert found.share == pytest.approx(1 / 3)
    assert found.flat == (picture == "grey")
    assert ingested.summary.quarantined_by_reason == {"placeholder": 30}
    assert ingested.summary.examples == 60
    assert read_contradictions(ingested.folder / "quarantine") == []


def test_a_kept_placeholder_is_named_and_its_labels_are_not_merged(
    ingest: Callable[..., Any], tmp_path: Path, draw_cover: Draw
) -> None:
    rows = _covers(draw_cover, 30)
    rows += [
        (f"none{n:02d}.jpg", _encode(_words("no image"), 60 + n), GENRES[n % 5]) for n in range(20)
    ]
    rows.append(("copy.jpg", _encode(draw_cover(0, 120), 60), GENRES[1]))
    data = _with_manifest(tmp_path, rows)
    ingested = ingest(data, near_duplicates={"placeholders": "keep"})
    assert [found.rows for found in ingested.summary.placeholders] == [20]
    assert ingested.summary.rows_quarantined == 0
    genres = _genres_by_path(ingested)
    assert all(len(genres[f"none{n:02d}.jpg"]) == 1 for n in range(20))
    assert genres["0000.jpg"] == genres["copy.jpg"] == {GENRES[0], GENRES[1]}


def test_tracks_of_an_album_are_no_placeholder(
    ingest: Callable[..., Any], tmp_path: Path, draw_cover: Draw
) -> None:
    rows = [
        (f"{album}.jpg", _encode(draw_cover(album, 120)), GENRES[album % 5 if track else 0])
        for album in range(12)
        for track in range(12)
    ]
    ingested = ingest(_with_manifest(tmp_path, rows))
    assert ingested.summary.placeholders == ()
    assert ingested.summary.examples == 12


def test_black_and_white_covers_are_not_near_duplicates(
    ingest: Callable[..., Any], tmp_path: Path, draw_cover: Draw
) -> None:
    rows = _covers(draw_cover, 20)
    levels = {"black": 0, "dark": 40, "grey": 128, "light": 210, "white": 255}
    for genre, (name, level) in zip(GENRES, levels.items(), strict=True):
        rows.append((f"{name}.jpg", _encode(Image.new("RGB", (200, 200), (level,) * 3)), genre))
    rows.append(("white2.png", _encode(Image.new("RGB", (300, 300), "white"), form="PNG"), "pop"))
    ingested = ingest(_with_manifest(tmp_path, rows))
    groups: dict[str, set[str]] = {}
    for _, example in ingested.examples().values():
        features = example.features.feature
        group = features["image/group"].bytes_list.value[0].decode()
        groups.setdefault(group, set()).add(features["image/path"].bytes_list.value[0].decode())
    assert [each for each in groups.values() if len(each) > 1] == [{"white.jpg", "white2.png"}]
    # Their hashes say nothing about colour, so their labels are not settled.
    assert ingested.summary.contradicting_pairs == {"kept": 1}
    assert ingested.summary.placeholders == ()
