"""The covers worth looking at: the worst mistakes and the best hits of each genre."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.contracts.predictions import Predictions

SHOWN = 4
_COVERS_IN_ALL = 300
_KINDS = 3


def choose_covers(predictions: Predictions) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Returns genre -> kind -> covers, the most telling first.

    The kinds are `false_positives`, decided but not true, the most confident first;
    `false_negatives`, true but not decided, the least confident first; and `true_positives`,
    the most confident first. The more genres, the fewer covers of each.
    """
    shown = max(1, min(SHOWN, _COVERS_IN_ALL // (_KINDS * len(predictions.genres))))
    chosen: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for i, genre in enumerate(predictions.genres):
        true, decided = predictions.labels[:, i], predictions.decisions[:, i]
        chosen[genre] = {
            "false_positives": _covers(predictions, i, ~true & decided, shown, highest=True),
            "false_negatives": _covers(predictions, i, true & ~decided, shown, highest=False),
            "true_positives": _covers(predictions, i, true & decided, shown, highest=True),
        }
    return chosen


def _covers(
    predictions: Predictions, genre: int, of: np.ndarray, shown: int, *, highest: bool
) -> list[dict[str, Any]]:
    places = np.flatnonzero(of)
    scores = predictions.probabilities[places, genre]
    order = np.argsort(-scores if highest else scores, kind="stable")[:shown]
    return [_cover(predictions, int(place), genre) for place in places[order]]


def _cover(predictions: Predictions, place: int, genre: int) -> dict[str, Any]:
    probability = float(predictions.probabilities[place, genre])
    return {
        "id": predictions.ids[place],
        "path": predictions.paths[place],
        "probability": probability if np.isfinite(probability) else None,
        "genres": _names(predictions.genres, predictions.labels[place]),
        "decided": _names(predictions.genres, predictions.decisions[place]),
    }


def _names(genres: tuple[str, ...], chosen: np.ndarray) -> list[str]:
    return [genre for genre, on in zip(genres, chosen, strict=True) if on]
