"""Splits that small data survive, and splits that data give."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts.label_schema import SPLITS
from components.cover_example_gen.groups import Arrival, find_places
from components.cover_example_gen.splits import Group, assign_split, balance, quotas

SHARES = {"train": 0.7, "eval": 0.1, "test": 0.2}
Write = Callable[..., Path]


def _groups(genres: Sequence[Sequence[str]], seed: int = 0) -> list[Group]:
    names = [f"{seed}-{number}" for number in range(len(genres))]
    return [
        Group(name, assign_split(name, SHARES), frozenset(each))
        for name, each in zip(names, genres, strict=True)
    ]


def _by_genre(groups: Sequence[Group], splits: dict[str, str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for group in groups:
        for genre in group.genres:
            found[genre][splits[group.name]] += 1
    return found


def _random(groups: int, genres: int, several: float, seed: int) -> list[Group]:
    chance = random.Random(seed)
    names = [f"genre {number}" for number in range(genres)]
    return _groups(
        [chance.choices(names, k=1 + (chance.random() < several)) for _ in range(groups)], seed
    )


@pytest.mark.parametrize(
    ("groups", "genres", "several"),
    [(30, 5, 0.3), (100, 5, 0.0), (150, 5, 0.0), (100, 20, 0.5), (500, 20, 0.0), (1000, 100, 0.3)],
)
def test_every_genre_of_three_groups_is_in_every_split(
    groups: int, genres: int, several: float
) -> None:
    for seed in range(40):
        given = _random(groups, genres, several, seed)
        found = _by_genre(given, balance(given, [], SHARES))
        for counts in found.values():
            if counts.total() >= 3:
                assert min(counts[split] for split in SPLITS) > 0
            assert counts["train"] > 0


def test_the_share_of_a_genre_is_at_least_half_of_the_splits() -> None:
    given = _random(300, 5, 0.0, 1)
    for counts in _by_genre(given, balance(given, [], SHARES)).values():
        for split, least in quotas(counts.total(), SHARES).items():
            assert counts[split] >= least


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_a_rare_genre_is_in_train_first(groups: int) -> None:
    for seed in range(40):
        given = _groups([["rock"]] * 300 + [["polka"]] * groups, seed)
        found = _by_genre(given, balance(given, [], SHARES))["polka"]
        assert found == {1: {"train": 1}, 2: {"train": 1, "test": 1}}.get(
            groups, dict.fromkeys(SPLITS, 1)
        )


def test_one_in_a_thousand() -> None:
    given = _groups([["rock"]] * 3000 + [["rock", "polka"]] * 3)
    found = _by_genre(given, balance(given, [], SHARES))
    assert found["polka"] == dict.fromkeys(SPLITS, 1)
    moved = [group for group, split in zip(given, balance(given, [], SHARES).values(), strict=True)
             if group.split != split]  # fmt: skip
    assert len(moved) <= 2


def test_nothing_moves_where_nothing_is_missing() -> None:
    given = _random(3000, 5, 0.2, 7)
    assert balance(given, [], SHARES) == {group.name: group.split for group in given}


def test_the_order_of_the_groups_does_not_matter() -> None:
    given = _random(60, 20, 0.5, 3)
    mixed = random.Random(1).sample(given, len(given))
    assert balance(given, [], SHARES) == balance(mixed, [], SHARES)


def _arrivals(
    genres: Sequence[str], delivery: int = 0, split: str | None = None, seed: int = 0
) -> list[Arrival]:
    hashes = np.random.default_rng([seed, delivery]).bytes(32 * len(genres))
    made = [
        Arrival(delivery, f"{seed}{delivery}{n:04d}", hashes[32 * n : 32 * n + 32], (genre,), split)
        for n, genre in enumerate(genres)
    ]
    return sorted(made, key=lambda arrival: arrival.image_id)


def test_later_spans_move_nothing_and_fill_what_earlier_ones_lack() -> None:
    for seed in range(20):
        first = _arrivals(["rock"] * 60 + ["polka"] * 2, 0, seed=seed)
        both = [*first, *_arrivals(["rock"] * 30 + ["polka"] * 3, 1, seed=seed)]
        before, after = find_places(first, SHARES).by_id, find_places(both, SHARES).by_id
        assert {name: after[name] for name in before} == before
        polka = [after[arrival.image_id].split for arrival in both if "polka" in arrival.genres]
        assert set(polka) == set(SPLITS)


def test_given_splits_are_kept_and_what_straddles_them_is_found() -> None:
    train, test = (_arrivals(["rock"] * 20, split=split, seed=n) for n, split in
                   enumerate(("train", "test")))  # fmt: skip
    eval_ = _arrivals(["pop"] * 5, split="eval", seed=2)
    copy = Arrival(0, "zz", train[3].perceptual_hash, ("rock",), "test")
    found = find_places([*train, *test, *eval_, copy], SHARES)
    assert found.are_given
    assert found.drawn == ()
    assert {found.by_id[arrival.image_id].split for arrival in train} == {"train"}
    assert found.straddling == ((train[3].image_id, "zz"),)
    assert found.by_id["zz"].group == found.by_id[train[3].image_id].group


def test_a_split_that_is_not_given_is_drawn_from_train() -> None:
    train = _arrivals(["rock"] * 60 + ["polka"] * 3, split="train")
    test = _arrivals(["rock"] * 20, split="test", seed=1)
    found = find_places([*train, *test], SHARES)
    assert found.drawn == ("eval",)
    assert {found.by_id[arrival.image_id].split for arrival in test} == {"test"}
    drawn = Counter(found.by_id[arrival.image_id].split for arrival in train)
    assert set(drawn) == {"train", "eval"}
    assert 2 <= drawn["eval"] <= 16
    assert {found.by_id[a.image_id].split for a in train if "polka" in a.genres} == set(drawn)


def _table(data: Path, rows: Sequence[str]) -> None:
    (data / "labels.csv").write_text("image,genres,split\n" + "\n".join(rows))


def test_given_splits_are_ingested(
    tmp_path: Path, write_cover: Write, ingest: Callable[..., Any]
) -> None:
    for seed in range(30):
        write_cover(tmp_path / f"{seed}.jpg", seed)
    names = ["train", "train", "train", "val", "test"]
    rows = [f"{seed}.jpg,rock,{names[seed % 5]}" for seed in range(30)]
    rows += ["0.jpg,rock,test", "1.jpg,rock,"]
    _table(tmp_path, rows)
    result = ingest(tmp_path)
    assert result.summary.given_splits
    assert result.summary.examples_by_split == {"train": 17, "eval": 6, "test": 7}
    assert dict(result.quarantined[["line", "reason"]].itertuples(index=False)) == {
        2: "in_several_splits",
        33: "no_split",
    }
    ignored = ingest(tmp_path, columns={"split": False}).summary
    assert not ignored.given_splits
    assert ignored.rows_quarantined == 0


@pytest.mark.parametrize("covers", [30, 60])
def test_small_data_have_every_genre_in_every_split(
    covers: int, tmp_path: Path, write_cover: Write, ingest: Callable[..., Any]
) -> None:
    for seed in range(covers):
        write_cover(tmp_path / ("rock", "pop", "jazz")[seed % 3] / f"{seed}.jpg", seed)
    counts = ingest(tmp_path).summary.genres_by_split
    assert all(counts[split][genre] for split in SPLITS for genre in ("rock", "pop", "jazz"))
