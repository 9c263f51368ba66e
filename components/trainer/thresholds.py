"""Decision thresholds: from which probability on a genre is decided."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_curve

from components.trainer.config import DEFAULT_THRESHOLD, TrainerConfig


def decision_thresholds(
    config: TrainerConfig, labels: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Returns the configured thresholds, tuned on the split given where so configured.

    Args:
        config: `decision_thresholds` is a number or `best_f1`.
        labels: float32, shape (examples, genres), 0 or 1.
        probabilities: float32, shape (examples, genres).

    Returns:
        float32, shape (genres,).
    """
    if config.decision_thresholds == "best_f1":
        columns = zip(labels.T, probabilities.T, strict=True)
        return np.array([best_f1_threshold(*column) for column in columns], np.float32)
    return np.full(labels.shape[1], config.decision_thresholds, np.float32)


def best_f1_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the threshold with the highest F1, halfway to the next lower probability.

    Halfway, so that rounding in another process does not flip the covers that set it. A genre
    with one class only, or with one probability for all covers, gets 0.5: nothing to tune on.

    Args:
        labels: shape (examples,), 0 or 1.
        probabilities: shape (examples,).
    """
    scores = np.unique(probabilities)
    if len(np.unique(labels)) < 2 or len(scores) < 2 or not np.isfinite(scores).all():
        return DEFAULT_THRESHOLD
    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    chosen = float(thresholds[np.argmax(f1[:-1])])
    lower = scores[scores < chosen]
    return (chosen + (float(lower[-1]) if len(lower) else 0.0)) / 2
