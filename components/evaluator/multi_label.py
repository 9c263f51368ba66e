"""Definitions of the multi-label metrics, in NumPy.

Each equals the scikit-learn function named in its docstring. Where scikit-learn
leaves a value undefined:

- precision, recall and F1 with an empty denominator are 0.0 (`zero_division=0`);
- ROC AUC of a genre without positives or without negatives, and average precision of
  a genre without positives, are NaN; macro averages are over the other genres, NaN if
  there are none;
- all metrics of probabilities are NaN if a single probability is, as a model that
  does not return numbers has no ranking.

Every function takes example weights of shape (..., examples) and returns one value for
each set of weights, so that a bootstrap costs one sort, not one sort per resample.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.contracts.evaluation.names import CALIBRATION_BINS

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_CLIP = 1e-7
_OF_PROBABILITIES = ("roc_auc", "average_precision", "brier_score", "calibration_error")


class MetricValues(NamedTuple):
    """Metrics by name for R sets of weights: shapes (R,) overall and (R, n) per genre."""

    overall: dict[str, FloatArray]
    per_genre: dict[str, FloatArray]


@dataclasses.dataclass(frozen=True)
class Table:
    """What one model says of some examples, beside what is true of them.

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


def compute_metrics(table: Table, weights: FloatArray) -> MetricValues:
    """Returns all metrics of a model, for each of R sets of example weights.

    Args:
        table: labels and the model's outputs.
        weights: shape (R, examples).
    """
    decisions = decision_metrics(table.true, table.decided, weights)
    probabilities = probability_metrics(table.true, table.probabilities, weights)
    return MetricValues(
        decisions.overall | probabilities.overall, decisions.per_genre | probabilities.per_genre
    )


def decision_metrics(true: BoolArray, decided: BoolArray, weights: FloatArray) -> MetricValues:
    """Returns the metrics of a model's decisions.

    `precision_recall_fscore_support(zero_division=0)` per genre, with average "macro"
    and "micro"; the four cells of `multilabel_confusion_matrix`; `hamming_loss`;
    `jaccard_score` with average "samples"; `accuracy_score`, which for multi-label data
    is the exact match ratio.

    Args:
        true: shape (examples, n).
        decided: shape (examples, n).
        weights: shape (R, examples).
    """
    tp = weights @ (true & decided)
    fp = weights @ (~true & decided)
    fn = weights @ (true & ~decided)
    total = weights.sum(axis=1)
    per_genre = {
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2.0 * tp, 2.0 * tp + fp + fn),
    }
    overall = {f"macro_{name}": values.mean(axis=1) for name, values in per_genre.items()}
    per_genre |= {
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": total[:, np.newaxis] - tp - fp - fn,
    }
    all_tp, wrong = tp.sum(axis=1), (fp + fn).sum(axis=1)
    shared, either = (true & decided).sum(axis=1), (true | decided).sum(axis=1)
    overall |= {
        "micro_precision": _ratio(all_tp, (tp + fp).sum(axis=1)),
        "micro_recall": _ratio(all_tp, (tp + fn).sum(axis=1)),
        "micro_f1": _ratio(2.0 * all_tp, 2.0 * all_tp + wrong),
        "hamming_loss": _ratio(wrong, total * true.shape[1]),
        "jaccard": _ratio(weights @ _ratio(shared, either), total),
        "exact_match_ratio": _ratio(weights @ (true == decided).all(axis=1), total),
    }
    return MetricValues(overall, per_genre)


def probability_metrics(true: BoolArray, scores: FloatArray, weights: FloatArray) -> MetricValues:
    """Returns the metrics of a model's probabilities.

    `roc_auc_score`, `average_precision_score` and `brier_score_loss` per genre, with
    average "macro" and, for the first two, "micro"; the expected calibration error; the
    binary cross-entropy as Keras computes it, the mean over genres of `log_loss`, with
    probabilities clipped to [1e-7, 1 - 1e-7].

    Args:
        true: shape (examples, n).
        scores: the probabilities, shape (examples, n).
        weights: shape (R, examples).
    """
    genre_count = true.shape[1]
    if np.isnan(scores).any():
        return _undefined(len(weights), genre_count)
    columns = [(true[:, i], scores[:, i]) for i in range(genre_count)]
    ranked = [ranking_metrics(*column, weights) for column in columns]
    per_genre = {
        "roc_auc": np.stack([roc_auc for roc_auc, _ in ranked], axis=1),
        "average_precision": np.stack([precision for _, precision in ranked], axis=1),
        "brier_score": np.stack([brier_score(*c, weights) for c in columns], axis=1),
        "calibration_error": np.stack([calibration_error(*c, weights) for c in columns], axis=1),
    }
    overall = {f"macro_{name}": _mean_defined(values) for name, values in per_genre.items()}
    flat = (true.ravel(), scores.ravel(), np.repeat(weights, genre_count, axis=1))
    micro_roc_auc, micro_average_precision = ranking_metrics(*flat)
    overall |= {
        "micro_roc_auc": micro_roc_auc,
        "micro_average_precision": micro_average_precision,
        "loss": binary_crossentropy(*flat),
    }
    return MetricValues(overall, per_genre)


def ranking_metrics(
    true: BoolArray, scores: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Returns the area under the ROC curve and the average precision.

    As `sklearn.metrics.roc_auc_score`: exact, by the trapezoidal rule over every distinct
    score, NaN without positives or without negatives. As
    `sklearn.metrics.average_precision_score`: the sum of precisions weighted by the increase
    in recall, without interpolation, NaN without positives.

    Args:
        true: shape (examples,).
        scores: shape (examples,).
        weights: shape (R, examples).
    """
    tp, fp = _cumulative_counts(true, scores, weights)
    area = np.sum(np.diff(fp) * (tp[:, 1:] + tp[:, :-1]), axis=1) / 2.0
    roc_auc = _ratio(area, tp[:, -1] * fp[:, -1], otherwise=np.nan)
    precision = _ratio(tp[:, 1:], (tp + fp)[:, 1:])
    hits = np.sum(np.diff(tp) * precision, axis=1)
    return roc_auc, _ratio(hits, tp[:, -1], otherwise=np.nan)


def brier_score(true: BoolArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Returns the mean squared error of probabilities, as `sklearn.metrics.brier_score_loss`.

    NaN without examples; shapes as in `ranking_metrics`.
    """
    return _ratio(weights @ (scores - true) ** 2, weights.sum(axis=1), otherwise=np.nan)


def calibration_error(true: BoolArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Returns the expected calibration error over equally wide bins of probability.

    The mean over examples of the distance between mean probability and share of
    positives in the example's bin (Naeini et al., "Obtaining Well Calibrated Probabilities
    Using Bayesian Binning", AAAI 2015); bins as in `sklearn.calibration.calibration_curve`.
    NaN without examples; shapes as in `ranking_metrics`.
    """
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    bins = np.searchsorted(edges[1:-1], scores)
    in_bin = bins[:, np.newaxis] == np.arange(CALIBRATION_BINS)
    gaps = weights @ (in_bin * (scores - true)[:, np.newaxis])
    return _ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1), otherwise=np.nan)


def binary_crossentropy(true: BoolArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Returns the mean binary cross-entropy; shapes as in `ranking_metrics`."""
    clipped = np.clip(scores, _CLIP, 1.0 - _CLIP)
    losses = -np.log(np.where(true, clipped, 1.0 - clipped))
    return _ratio(weights @ losses, weights.sum(axis=1))


def _cumulative_counts(
    true: BoolArray, scores: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Returns weighted true and false positives at each distinct score, from 0, downwards."""
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.diff(scores[order]) != 0.0, True)[: scores.size]
    ordered = weights[:, order]
    total = np.cumsum(ordered, axis=1)[:, last_of_score]
    tp = np.cumsum(ordered * true[order], axis=1)[:, last_of_score]
    zeros = np.zeros((len(weights), 1))
    return np.hstack([zeros, tp]), np.hstack([zeros, total - tp])


def _undefined(sets: int, genre_count: int) -> MetricValues:
    names = [f"macro_{name}" for name in _OF_PROBABILITIES]
    names += ["micro_roc_auc", "micro_average_precision", "loss"]
    return MetricValues(
        overall={name: np.full(sets, np.nan) for name in names},
        per_genre={name: np.full((sets, genre_count), np.nan) for name in _OF_PROBABILITIES},
    )


def _mean_defined(values: FloatArray) -> FloatArray:
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=1)
    return _ratio(total, defined.sum(axis=1), otherwise=np.nan)


def _ratio(
    numerator: npt.ArrayLike, denominator: npt.ArrayLike, otherwise: float = 0.0
) -> FloatArray:
    """Divides, with `otherwise` where the denominator is zero."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(top, bottom, out=np.full_like(top, otherwise), where=bottom != 0.0)
