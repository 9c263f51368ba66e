"""Labels that were changed are found first; the table has what a person needs to decide."""

from __future__ import annotations

import csv
import io

import numpy as np

from components.contracts.quarantine import Contradiction
from components.report_gen.label_errors import (
    COLUMNS,
    contradicting_labels,
    find_label_errors,
    to_csv,
)

GENRES = ("rock", "pop")
COVERS = 1000
NAMES = [f"{number:04}" for number in range(COVERS)]
PATHS = [f"a, b/{number:04}.jpg" for number in range(COVERS)]


def test_changed_labels_come_first_in_both_directions() -> None:
    random = np.random.default_rng(0)
    true = random.random((COVERS, 2)) < 0.3
    probabilities = np.clip(0.15 + 0.7 * true + random.normal(0, 0.08, true.shape), 0.01, 0.99)
    probabilities[:20] = np.where(true[:20], 0.95, 0.05)
    given = true.copy()
    given[:10, 0] ^= True
    given[10:20, 1] ^= True
    found = find_label_errors(GENRES, NAMES, PATHS, given, probabilities)
    first = {(error["id"], error["genre"]) for error in found[:20]}
    changed = {(NAMES[row], GENRES[row // 10]) for row in range(20)}
    assert first == changed
    assert {error["given"] for error in found[:20]} == {"yes", "no"}
    for error in found[:20]:
        row = int(error["id"])
        assert error["cover"] == PATHS[row]
        assert (error["given"] == "yes") == given[row, GENRES.index(error["genre"])]


def test_a_genre_of_one_class_or_without_numbers_is_passed_over() -> None:
    given = np.zeros((COVERS, 2), bool)
    given[::2, 1] = True
    unknown = np.full((COVERS, 2), np.nan)
    assert find_label_errors(GENRES, NAMES, PATHS, given, unknown) == []
    same = np.where(given, 0.9, 0.1)
    assert {e["genre"] for e in find_label_errors(GENRES, NAMES, PATHS, given, same)} <= {"pop"}


def test_a_model_that_is_sure_of_the_opposite_of_all_labels_gives_numbers() -> None:
    given = np.zeros((COVERS, 2), bool)
    given[::2] = True
    for probability in (0.0, 1.0):
        sure = np.full((COVERS, 2), probability)
        found = find_label_errors(GENRES, NAMES, PATHS, given, sure)
        assert found
        assert {error["likelihood"] for error in found} <= {0.0, 1.0}


def test_near_duplicates_that_contradict_each_other_are_listed_for_the_cover_that_lacks() -> None:
    pair = Contradiction(("a", "b"), ("1.jpg", "2.jpg"), (("pop", "rock"), ("pop",)), 7, "kept")
    (error,) = contradicting_labels([pair], {("b", "rock"): 0.4})
    assert (error["cover"], error["genre"], error["given"]) == ("2.jpg", "rock", "no")
    assert error["probability"] == 0.4
    assert error["reason"] == "near-duplicate 1.jpg has it (7 of 256 bits apart; kept)"
    (unknown,) = contradicting_labels([pair], {})
    (row,) = csv.DictReader(io.StringIO(to_csv([unknown])))
    assert tuple(row) == COLUMNS
    assert (row["probability"], row["decision"]) == ("", "")


def test_the_table_survives_commas_and_quotes() -> None:
    pair = Contradiction(("a", "b"), ('x, "y".jpg', "2.jpg"), ((), ("rock",)), 7, "kept")
    (row,) = csv.DictReader(io.StringIO(to_csv(contradicting_labels([pair], {}))))
    assert row["cover"] == 'x, "y".jpg'
