"""A model's outputs for some examples, and the counts and rankings that metrics are made of.

Every property takes R sets of example weights at once, so that a bootstrap costs one sort, not one
sort per resample.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

CALIBRATION_BINS = 10
"""Bins of probability, equally wide, of calibration errors and calibration curves."""


@dataclasses.dataclass(frozen=True)
class Table:
    """One model's outputs for some examples, and their labels.

    Attributes:
        true: bool (examples, n): has the genre.
        probabilities: float64 (examples, n).
        decided: bool (examples, n): the model decides on the genre.
    """

    true: BoolArray
    probabilities: FloatArray
    decided: BoolArray

    @classmethod
    def of(
        cls, labels: npt.ArrayLike, probabilities: npt.ArrayLike, decisions: npt.ArrayLike
    ) -> Table:
        """Reads labels and decisions, both 0 or 1, and probabilities, all (examples, n)."""
        return cls(
            true=np.asarray(labels) > 0.5,
            probabilities=np.asarray(probabilities, dtype=np.float64),
            decided=np.asarray(decisions) > 0.5,
        )


class CalibrationBins(NamedTuple):
    """Weights summed over the examples in each bin of one genre's probabilities, shape (R, bins).

    Attributes:
        totals: of all examples.
        positives: of those that have the genre.
        gaps: of probabilities less labels.
    """

    totals: FloatArray
    positives: FloatArray
    gaps: FloatArray

    @classmethod
    def of(cls, true: BoolArray, probabilities: FloatArray, weights: FloatArray) -> CalibrationBins:
        """Sums up one genre's examples, each of shape (examples,), by weights (R, examples)."""
        edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
        bins = np.searchsorted(edges[1:-1], probabilities)
        in_bin = bins[:, np.newaxis] == np.arange(CALIBRATION_BINS)
        return cls(
            weights @ in_bin,
            weights @ (in_bin & true[:, np.newaxis]),
            weights @ (in_bin * (probabilities - true)[:, np.newaxis]),
        )


class Scores:
    """A table under R sets of example weights.

    Args:
        table: labels and the model's outputs for n genres.
        weights: shape (R, examples).
    """

    def __init__(self, table: Table, weights: FloatArray) -> None:
        self.table = table
        self.weights = weights

    @functools.cached_property
    def total(self) -> FloatArray:
        """The weight of all examples, shape (R,)."""
        return self.weights.sum(axis=1)

    @functools.cached_property
    def true_positives(self) -> FloatArray:
        """Weight of the examples rightly decided to have each genre, shape (R, n)."""
        return self.weights @ (self.table.true & self.table.decided)

    @functools.cached_property
    def false_positives(self) -> FloatArray:
        """Weight of the examples wrongly decided to have each genre, shape (R, n)."""
        return self.weights @ (~self.table.true & self.table.decided)

    @functools.cached_property
    def false_negatives(self) -> FloatArray:
        """Weight of the examples whose genre was missed, shape (R, n)."""
        return self.weights @ (self.table.true & ~self.table.decided)

    @property
    def true_negatives(self) -> FloatArray:
        """Weight of all other examples, shape (R, n)."""
        others = self.true_positives + self.false_positives + self.false_negatives
        return self.total[:, np.newaxis] - others

    @functools.cached_property
    def rankings(self) -> list[tuple[FloatArray, FloatArray]]:
        """For each genre, its weighted true and false positives at each distinct probability.

        From the highest probability downwards, beginning with 0; each of shape (R, distinct + 1).
        """
        return [
            _cumulative_counts(self.table.true[:, i], self.table.probabilities[:, i], self.weights)
            for i in range(self.table.true.shape[1])
        ]

    @functools.cached_property
    def calibration_bins(self) -> list[CalibrationBins]:
        """For each genre, its examples by bin of probability."""
        columns = zip(self.table.true.T, self.table.probabilities.T, strict=True)
        return [CalibrationBins.of(*column, self.weights) for column in columns]

    @functools.cached_property
    def flat(self) -> Scores:
        """The same, with each pair of example and genre as an example of one genre."""
        table = Table(
            self.table.true.reshape(-1, 1),
            self.table.probabilities.reshape(-1, 1),
            self.table.decided.reshape(-1, 1),
        )
        return Scores(table, np.repeat(self.weights, self.table.true.shape[1], axis=1))


def ratio(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike, otherwise: float = 0.0
) -> FloatArray:
    """Divides, with `otherwise` where the denominator is zero."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(top, bottom, out=np.full_like(top, otherwise), where=bottom != 0.0)


def _cumulative_counts(
    true: BoolArray, scores: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.diff(scores[order]) != 0.0, True)[: scores.size]
    ordered = weights[:, order]
    total = np.cumsum(ordered, axis=1)[:, last_of_score]
    tp = np.cumsum(ordered * true[order], axis=1)[:, last_of_score]
    zeros = np.zeros((len(weights), 1))
    return np.hstack([zeros, tp]), np.hstack([zeros, total - tp])
