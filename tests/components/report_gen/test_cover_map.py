from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.contracts.predictions import Predictions
from components.report_gen import cover_map
from components.report_gen.cover_map import describe_map

GENRES = ("pop", "rock")
COVERS = 120


def _predictions(decisions: np.ndarray | None = None) -> Predictions:
    """Returns covers of which every other one is pop, the others rock."""
    labels = np.eye(2, dtype=bool)[np.arange(COVERS) % 2]
    return Predictions(
        genres=GENRES,
        thresholds=(0.5, 0.5),
        ids=tuple(f"{row:03}" for row in range(COVERS)),
        paths=tuple(f"{row}.jpg" for row in range(COVERS)),
        labels=labels,
        probabilities=labels * 0.8 + 0.1,
        decisions=labels if decisions is None else decisions,
    )


def _apart(together: bool) -> np.ndarray:
    """Returns embeddings in two heaps, one for each genre or each for both."""
    random = np.random.default_rng(0)
    heap = np.arange(COVERS) % 2 if together else np.arange(COVERS) // 2 % 2
    centres = np.array([[9, 0, 0, 0], [0, 9, 0, 0]], float)
    return np.asarray(centres[heap] + random.normal(size=(COVERS, 4)), np.float32)


def test_covers_seen_alike_lie_close_together() -> None:
    predictions = _predictions()
    found = describe_map(predictions, predictions.ids, _apart(together=True))
    assert found is not None
    assert [each["id"] for each in found["covers"]] == list(predictions.ids)
    places = np.array([(each["x"], each["y"]) for each in found["covers"]])
    assert (places.min(axis=0), places.max(axis=0)) == (
        pytest.approx([0, 0]),
        pytest.approx([1, 1]),
    )
    pop, rock = places[::2], places[1::2]
    between = np.linalg.norm(pop.mean(axis=0) - rock.mean(axis=0))
    assert between > 2 * np.linalg.norm(pop - pop.mean(axis=0), axis=1).mean()
    assert found["left_out"] == 0


@pytest.mark.parametrize(("together", "near"), [(True, 1.0), (False, 0.5)])
def test_the_table_tells_genres_that_keep_together(together: bool, near: float) -> None:
    predictions = _predictions()
    found = describe_map(predictions, predictions.ids, _apart(together))
    assert found is not None
    for genre in GENRES:
        kept = found["genres"][genre]
        assert kept["near"] == pytest.approx(near, abs=0.06)
        assert kept["share"] == 0.5
        assert (kept["covers"], kept["right"]) == (60, 60)


def test_a_cover_is_right_partly_right_or_wrong() -> None:
    decisions = _predictions().labels.copy()
    decisions[0] = decisions[1] = True  # one genre too many
    decisions[2], decisions[3] = ~decisions[2], False
    predictions = _predictions(decisions)
    found = describe_map(predictions, predictions.ids, _apart(together=True))
    assert found is not None
    marks = [each["mark"] for each in found["covers"]]
    assert marks[:5] == ["partly", "partly", "wrong", "wrong", "right"]
    assert found["covers"][0]["decided"] == ["pop", "rock"]
    assert {name: found["genres"]["pop"][name] for name in cover_map.MARKS} == {
        "right": 58, "partly": 1, "wrong": 1
    }  # fmt: skip


def test_it_is_the_same_each_time_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cover_map, "_MOST", 50)
    predictions = _predictions()
    given: tuple[Any, ...] = (predictions, predictions.ids, _apart(together=True))
    found = describe_map(*given)
    assert found is not None
    assert (len(found["covers"]), found["left_out"]) == (50, 70)
    assert describe_map(*given) == found


@pytest.mark.parametrize(
    "embeddings",
    [
        np.zeros((0, 0), np.float32),
        np.zeros((COVERS, 4), np.float32),
        np.ones((COVERS, 4), np.float32),
        np.full((COVERS, 4), np.nan, np.float32),
        _apart(together=True)[:20],
    ],
    ids=["none", "nothing seen", "no difference", "no numbers", "too few"],
)
def test_where_there_is_nothing_to_map_there_is_no_map(embeddings: np.ndarray) -> None:
    predictions = _predictions()
    assert describe_map(predictions, predictions.ids[: len(embeddings)], embeddings) is None


def test_embeddings_of_one_number_are_a_line() -> None:
    predictions = _predictions()
    signs = _apart(together=True)[:, :1] - 4
    assert describe_map(predictions, predictions.ids, signs) is not None
