"""Curves and counts per genre, by scikit-learn, ready for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from components.contracts.predictions import Predictions
from components.contracts.scores import CALIBRATION_BINS

_POINTS = 300
_STEPS = 100


def describe_genres(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Returns the curves of each genre against the rest; see `describe_genre`."""
    return {
        genre: describe_genre(
            predictions.labels[:, i],
            predictions.probabilities[:, i],
            predictions.decisions[:, i],
            predictions.thresholds[i],
        )
        for i, genre in enumerate(predictions.genres)
    }


def describe_genre(
    labels: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.float64],
    decisions: npt.NDArray[np.bool_],
    threshold: float,
) -> dict[str, Any]:
    """Returns what the report draws for one genre; all arguments but the last of shape (examples,).

    Returns:
        `model_threshold`; `thresholds`, counts at each hundredth and at the model's own threshold,
        in ascending order; and, if both classes occur and all probabilities are numbers, `roc`
        (false and true positive rate), `precision_recall` (recall and precision), both thinned to
        a few hundred points, and `calibration` (mean probability, share of positives, covers).
    """
    described: dict[str, Any] = {
        "model_threshold": float(threshold),
        "thresholds": _at_thresholds(labels, probabilities, decisions, threshold),
    }
    if labels.all() or not labels.any() or not np.isfinite(probabilities).all():
        return described
    false_rate, true_rate, _ = roc_curve(labels, probabilities)
    precision, recall, _ = precision_recall_curve(labels, probabilities)
    share, mean = calibration_curve(labels, probabilities, n_bins=CALIBRATION_BINS)
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    covers = np.bincount(np.searchsorted(edges[1:-1], probabilities), minlength=CALIBRATION_BINS)
    return {
        **described,
        "roc": _thin(false_rate, true_rate),
        "precision_recall": _thin(recall[::-1], precision[::-1]),
        "calibration": [
            {"mean_probability": float(m), "share_of_positives": float(s), "covers": int(c)}
            for m, s, c in zip(mean, share, covers[covers > 0], strict=True)
        ],
    }


def _at_thresholds(
    labels: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.float64],
    decisions: npt.NDArray[np.bool_],
    threshold: float,
) -> list[dict[str, float]]:
    rows = [
        {"threshold": step / _STEPS, **_counts(labels, probabilities >= step / _STEPS)}
        for step in range(_STEPS + 1)
    ]
    rows = [row for row in rows if row["threshold"] != threshold]
    # The decisions as made: in float32, as the model compares.
    rows.append({"threshold": float(threshold), **_counts(labels, decisions)})
    return sorted(rows, key=lambda row: row["threshold"])


def _counts(labels: npt.NDArray[np.bool_], decided: npt.NDArray[np.bool_]) -> dict[str, int]:
    return {
        "true_positives": int(np.sum(labels & decided)),
        "false_positives": int(np.sum(~labels & decided)),
        "false_negatives": int(np.sum(labels & ~decided)),
        "true_negatives": int(np.sum(~labels & ~decided)),
    }


def _thin(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> list[list[float]]:
    places = np.unique(np.linspace(0, len(x) - 1, min(len(x), _POINTS)).round().astype(int))
    return [[round(float(x[i]), 5), round(float(y[i]), 5)] for i in places]
