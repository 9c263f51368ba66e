"""Metrics with confidence intervals, by a Poisson bootstrap over examples.

Each resample gives every example a weight drawn from Poisson(1) (Hanley and MacGibbon, "Creating
non-parametric bootstrap samples using Poisson frequencies", 2006). Models are compared on the same
resamples: the interval of a change is that of paired differences, which is narrower than two
intervals side by side suggest.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.contracts.metrics import (
    CHANGE,
    CI_HIGH,
    CI_LOW,
    METRICS,
    PER_GENRE_COUNTS,
    MetricValues,
    compute_metrics,
)
from components.contracts.scores import FloatArray, Scores, Table
from components.evaluator.config import Intervals

_SEED = 20061
_VALUES_AT_ONCE = 4_000_000
_LEAST_SHARE_DEFINED = 0.5


class ModelEstimates(NamedTuple):
    """Metrics of one model, with their intervals and changes.

    Each name is accompanied by name + `_ci_low` and `_ci_high`, the ends of its interval; with a
    baseline, also by name + `_change`, `_change_ci_low` and `_change_ci_high`. Without resamples
    there are no intervals; counts have none, and those of calibration errors are NaN.

    Attributes:
        overall: name -> float64 of shape ().
        per_genre: name -> float64 of shape (n,).
    """

    overall: dict[str, FloatArray]
    per_genre: dict[str, FloatArray]


def estimate(
    tables: Mapping[str, Table],
    weights: npt.ArrayLike,
    intervals: Intervals,
    baseline: str | None = None,
) -> dict[str, ModelEstimates]:
    """Returns the metrics of models, their intervals and their changes against the baseline.

    Args:
        tables: model name -> its outputs on the same examples in the same order.
        weights: example weights, shape (examples,).
        intervals: confidence and number of resamples; without resamples there are no intervals.
        baseline: the model to compare the others with; None compares nothing.
    """
    example_weights = np.asarray(weights, np.float64)[np.newaxis, :]
    values = {
        name: compute_metrics(Scores(table, example_weights)) for name, table in tables.items()
    }
    resampled = {
        name: _resample(table, example_weights, intervals.resamples)
        for name, table in tables.items()
    }
    estimates = {}
    for name in tables:
        compared = baseline if name != baseline else None
        overall, per_genre = (
            _estimates(
                values[name][level],
                resampled[name][level],
                values[compared][level] if compared is not None else None,
                resampled[compared][level] if compared is not None else {},
                intervals.confidence,
            )
            for level in range(2)
        )
        estimates[name] = ModelEstimates(overall, per_genre)
    return estimates


def _estimates(
    values: dict[str, FloatArray],
    resampled: dict[str, FloatArray],
    baseline_values: dict[str, FloatArray] | None,
    baseline_resampled: dict[str, FloatArray],
    confidence: float,
) -> dict[str, FloatArray]:
    estimates: dict[str, FloatArray] = {}
    for name, value in values.items():
        estimates[name] = value[0]
        if name in PER_GENRE_COUNTS:
            continue
        if name in resampled:
            known = resampled[name] * (1.0 if METRICS[name].has_interval else np.nan)
            estimates |= _interval(name, known, confidence)
        if baseline_values is None:
            continue
        estimates[name + CHANGE] = value[0] - baseline_values[name][0]
        if name in baseline_resampled:
            change = resampled[name] - baseline_resampled[name]
            estimates |= _interval(name + CHANGE, change, confidence)
    return estimates


def _interval(name: str, resampled: FloatArray, confidence: float) -> dict[str, FloatArray]:
    """Returns the percentile interval; NaN where most resamples are undefined."""
    tail = (1.0 - confidence) / 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any number
        low, high = np.nanquantile(resampled, [tail, 1.0 - tail], axis=0)
    known = np.mean(~np.isnan(resampled), axis=0) >= _LEAST_SHARE_DEFINED
    return {
        name + CI_LOW: np.where(known, low, np.nan),
        name + CI_HIGH: np.where(known, high, np.nan),
    }


def _resample(table: Table, weights: FloatArray, resamples: int) -> MetricValues:
    drawn = [
        compute_metrics(Scores(table, weights * draws))
        for draws in _draws(resamples, *table.true.shape)
    ]
    overall, per_genre = (
        {name: np.concatenate([each[level][name] for each in drawn]) for name in drawn[0][level]}
        if drawn
        else {}
        for level in range(2)
    )
    return MetricValues(overall, per_genre)


def _draws(resamples: int, examples: int, genre_count: int) -> Iterator[FloatArray]:
    """Yields Poisson weights, shape (some resamples, examples): the same for every model."""
    random = np.random.default_rng(_SEED)
    at_once = max(1, _VALUES_AT_ONCE // max(1, examples * genre_count))
    for done in range(0, resamples if examples else 0, at_once):
        rows = min(at_once, resamples - done)
        yield random.poisson(1.0, (rows, examples)).astype(np.float64)
