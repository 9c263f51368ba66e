"""Decisions: the probability from which a genre is decided, and what happens if none is."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.metrics import precision_recall_curve

from components.trainer.config import DEFAULT_THRESHOLD, TrainerConfig


@dataclasses.dataclass(frozen=True)
class DecisionRule:
    """How probabilities become decisions.

    Attributes:
        thresholds: float32, shape (genres,): a genre is decided at or above its own.
        at_least_one_genre: where none is, decide the one closest to its threshold.
    """

    thresholds: np.ndarray
    at_least_one_genre: bool = False

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Maps probabilities (examples, genres) to bool decisions of the same shape."""
        decisions = probabilities >= self.thresholds
        if not self.at_least_one_genre:
            return decisions
        closest = (probabilities - self.thresholds).argmax(axis=1)
        return decisions | np.eye(len(self.thresholds), dtype=bool)[closest]


def decision_rule(
    config: TrainerConfig, labels: np.ndarray, probabilities: np.ndarray
) -> DecisionRule:
    """Returns the configured rule, its thresholds tuned on the split given where so configured.

    Args:
        config: `decision_thresholds` is a number, `best_f1` or `label_share`.
        labels: float32, shape (examples, genres), 0 or 1.
        probabilities: float32, shape (examples, genres).
    """
    find = {"best_f1": best_f1_threshold, "label_share": label_share_threshold}
    rule = config.decision_thresholds
    if isinstance(rule, str):
        columns = zip(labels.T, probabilities.T, strict=True)
        thresholds = np.array([find[rule](*column) for column in columns], np.float32)
    else:
        thresholds = np.full(labels.shape[1], rule, np.float32)
    return DecisionRule(thresholds, config.at_least_one_genre)


def best_f1_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the threshold with the highest F1, halfway to the next lower probability.

    Halfway, so that rounding in another process does not flip the covers that set it. A genre
    with only one class, or with one probability for all covers, gets 0.5: nothing to tune on.

    Args:
        labels: shape (examples,), 0 or 1.
        probabilities: shape (examples,).
    """
    if not _can_be_tuned(labels, probabilities):
        return DEFAULT_THRESHOLD
    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return _below(float(thresholds[np.argmax(f1[:-1])]), probabilities)


def label_share_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the threshold at which the genre is decided as often as it is given.

    There precision equals recall. Halfway to the next lower probability, and 0.5 where there is
    nothing to tune on, as in `best_f1_threshold`. (Yang, "A Study on Thresholding Strategies
    for Text Categorization" (2001), calls it PCut.)

    Args:
        labels: shape (examples,), 0 or 1.
        probabilities: shape (examples,).
    """
    if not _can_be_tuned(labels, probabilities):
        return DEFAULT_THRESHOLD
    given = int(labels.sum())
    return _below(float(np.sort(probabilities)[-given]), probabilities)


def _can_be_tuned(labels: np.ndarray, probabilities: np.ndarray) -> bool:
    varied = len(np.unique(labels)) > 1 and len(np.unique(probabilities)) > 1
    return varied and bool(np.isfinite(probabilities).all())


def _below(chosen: float, probabilities: np.ndarray) -> float:
    lower = probabilities[probabilities < chosen]
    return (chosen + (float(lower.max()) if len(lower) else 0.0)) / 2
