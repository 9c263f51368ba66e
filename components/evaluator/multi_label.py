"""Definitions of the multi-label metrics, in NumPy.

Each equals the scikit-learn function named in its docstring. Where scikit-learn
leaves a value undefined:

- precision, recall and F1 with an empty denominator are 0.0 (`zero_division=0`);
- ROC AUC of a genre without positives or without negatives, and average precision of
  a genre without positives, are NaN; macro averages are over the other genres, NaN if
  there are none;
- all metrics of probabilities are NaN if a single probability is, as a model that
  does not return numbers has no ranking.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_CLIP = 1e-7


class MetricValues(NamedTuple):
    """Metrics by name: of all genres together, and per genre as an array of shape (n,)."""

    overall: dict[str, float]
    per_genre: dict[str, FloatArray]


@dataclasses.dataclass(frozen=True)
class DecisionCounts:
    """Weighted counts over examples: all that the metrics of decisions depend on.

    Attributes:
        true_positives: float64 (n,), per genre: decided and true.
        decided: float64 (n,), per genre: decided.
        positives: float64 (n,), per genre: true.
        exact_matches: examples of which every genre is right.
        examples: examples, each counted with its weight.
    """

    true_positives: FloatArray
    decided: FloatArray
    positives: FloatArray
    exact_matches: float = 0.0
    examples: float = 0.0

    @classmethod
    def zeros(cls, genre_count: int) -> DecisionCounts:
        """Returns the counts of no examples."""
        zeros = np.zeros(genre_count)
        return cls(true_positives=zeros, decided=zeros, positives=zeros)

    @classmethod
    def of_example(
        cls, label: npt.ArrayLike, decision: npt.ArrayLike, weight: float = 1.0
    ) -> DecisionCounts:
        """Counts one example; label and decision are 0/1 of shape (n,)."""
        true, decided = np.asarray(label) > 0.5, np.asarray(decision) > 0.5
        return cls(
            true_positives=(true & decided).astype(np.float64) * weight,
            decided=decided.astype(np.float64) * weight,
            positives=true.astype(np.float64) * weight,
            exact_matches=weight * bool(np.array_equal(true, decided)),
            examples=weight,
        )

    def __add__(self, other: DecisionCounts) -> DecisionCounts:
        """Returns the counts of both sets of examples together."""
        return DecisionCounts(
            true_positives=self.true_positives + other.true_positives,
            decided=self.decided + other.decided,
            positives=self.positives + other.positives,
            exact_matches=self.exact_matches + other.exact_matches,
            examples=self.examples + other.examples,
        )


def decision_metrics(counts: DecisionCounts) -> MetricValues:
    """Returns the metrics of a model's decisions.

    `precision_recall_fscore_support(zero_division=0)` per genre, with average "macro"
    and "micro"; `hamming_loss`; `accuracy_score`, which for multi-label data is the
    exact match ratio.
    """
    tp, decided, positives = counts.true_positives, counts.decided, counts.positives
    wrong = decided + positives - 2.0 * tp
    per_genre = {
        "precision": _ratio(tp, decided),
        "recall": _ratio(tp, positives),
        "f1": _ratio(2.0 * tp, decided + positives),
    }
    overall = {f"macro_{name}": float(values.mean()) for name, values in per_genre.items()}
    overall |= {
        "micro_precision": float(_ratio(tp.sum(), decided.sum())),
        "micro_recall": float(_ratio(tp.sum(), positives.sum())),
        "micro_f1": float(_ratio(2.0 * tp.sum(), (decided + positives).sum())),
        "hamming_loss": float(_ratio(wrong.sum(), counts.examples * tp.size)),
        "exact_match_ratio": float(_ratio(counts.exact_matches, counts.examples)),
    }
    return MetricValues(overall, per_genre)


def probability_metrics(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike
) -> MetricValues:
    """Returns the metrics of a model's probabilities.

    `roc_auc_score` and `average_precision_score` per genre, with average "macro" and
    "micro"; the binary cross-entropy as Keras computes it, the mean over genres of
    `log_loss`, with probabilities clipped to [1e-7, 1 - 1e-7].

    Args:
        labels: 0/1, shape (examples, n).
        probabilities: shape (examples, n).
        weights: shape (examples,).
    """
    true = np.asarray(labels) > 0.5
    scores = np.asarray(probabilities, dtype=np.float64)
    weight = np.asarray(weights, dtype=np.float64)
    if np.isnan(scores).any():
        return _undefined(genre_count=true.shape[1])
    columns = [(true[:, i], scores[:, i], weight) for i in range(true.shape[1])]
    flat = (true.ravel(), scores.ravel(), np.repeat(weight, true.shape[1]))
    per_genre = {
        "roc_auc": np.array([roc_auc(*column) for column in columns]),
        "average_precision": np.array([average_precision(*column) for column in columns]),
    }
    overall = {f"macro_{name}": _mean_defined(values) for name, values in per_genre.items()}
    overall |= {
        "micro_roc_auc": roc_auc(*flat),
        "micro_average_precision": average_precision(*flat),
        "loss": _binary_crossentropy(*flat),
    }
    return MetricValues(overall, per_genre)


def roc_auc(true: npt.NDArray[np.bool_], scores: FloatArray, weights: FloatArray) -> float:
    """Returns the area under the ROC curve, as `sklearn.metrics.roc_auc_score`.

    Exact: by the trapezoidal rule over every distinct score. All of shape (examples,).
    NaN without positives or without negatives.
    """
    tp, fp = _cumulative_counts(true, scores, weights)
    if tp[-1] <= 0.0 or fp[-1] <= 0.0:
        return float("nan")
    area = np.sum(np.diff(fp) * (tp[1:] + tp[:-1])) / 2.0
    return float(area / (tp[-1] * fp[-1]))


def average_precision(
    true: npt.NDArray[np.bool_], scores: FloatArray, weights: FloatArray
) -> float:
    """Returns the average precision, as `sklearn.metrics.average_precision_score`.

    The sum of precisions weighted by the increase in recall, without interpolation.
    All of shape (examples,). NaN without positives.
    """
    tp, fp = _cumulative_counts(true, scores, weights)
    if tp[-1] <= 0.0:
        return float("nan")
    precision = _ratio(tp[1:], (tp + fp)[1:])
    return float(np.sum(np.diff(tp) * precision) / tp[-1])


def _cumulative_counts(
    true: npt.NDArray[np.bool_], scores: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Returns weighted true and false positives at each distinct score, from 0, downwards."""
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.diff(scores[order]) != 0.0, True)[: scores.size]
    tp = np.cumsum(weights[order] * true[order])[last_of_score]
    fp = np.cumsum(weights[order] * ~true[order])[last_of_score]
    return np.insert(tp, 0, 0.0), np.insert(fp, 0, 0.0)


def _binary_crossentropy(
    true: npt.NDArray[np.bool_], scores: FloatArray, weights: FloatArray
) -> float:
    clipped = np.clip(scores, _CLIP, 1.0 - _CLIP)
    losses = -np.log(np.where(true, clipped, 1.0 - clipped))
    return float(_ratio(np.sum(weights * losses), weights.sum()))


def _undefined(genre_count: int) -> MetricValues:
    nan = float("nan")
    per_genre = ("roc_auc", "average_precision")
    averages = [f"{average}_{name}" for average in ("macro", "micro") for name in per_genre]
    return MetricValues(
        overall=dict.fromkeys([*averages, "loss"], nan),
        per_genre={name: np.full(genre_count, nan) for name in per_genre},
    )


def _mean_defined(values: FloatArray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> FloatArray:
    """Divides, with 0.0 where the denominator is zero."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0.0)
