"""The margins of the gate as a TFMA metric."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.contracts.evaluation.gate import (
    Kind,
    change_margin,
    has_support,
    is_too_few,
    value_margin,
)
from components.evaluator.bootstrap import CHANGE, CI_HIGH, CI_LOW
from components.evaluator.combiners import baseline_name
from components.evaluator.shared import (
    Estimates,
    Values,
    check_name,
    derived_computation,
    shared_computation,
)


class ThresholdMargin(metric_types.Metric):
    """How far a metric is on the right side of a threshold; see `gate` for the rules.

    Negative or NaN is a refusal, so that a TFMA threshold of at least 0 on it is the gate. It is
    for the candidate only.
    """

    def __init__(
        self,
        name: str,
        metric: str,
        kind: Kind,
        bound: float,
        min_support: int,
        genres: Sequence[str],
        intervals: Mapping[str, Any],
    ) -> None:
        """Creates the margin.

        Args:
            name: name of the margin in the results; see `margin_name`.
            metric: the metric that is bounded.
            kind: see `gate`.
            bound: the bound, or for kind "change" the tolerance.
            min_support: least number of examples for a genre to decide.
            genres: as in `MultiLabelMetric`.
            intervals: as in `MultiLabelMetric`.
        """
        check_name(metric)
        super().__init__(
            _margin_computations,
            name=name,
            metric=metric,
            kind=kind,
            bound=bound,
            min_support=min_support,
            genres=list(genres),
            intervals=dict(intervals),
        )


def margin_name(metric: str, kind: Kind) -> str:
    """Returns the name of a margin, such as `roc_auc_at_least_margin`."""
    return f"{metric}_{kind.replace(' ', '_')}_margin"


def _margin_computations(
    name: str,
    metric: str,
    kind: Kind,
    bound: float,
    min_support: int,
    genres: Sequence[str],
    intervals: Mapping[str, Any],
    eval_config: config_pb2.EvalConfig | None = None,
    model_names: Sequence[str] | None = None,
    sub_keys: Sequence[metric_types.SubKey | None] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    models = tuple(model_names or ("",))
    shared = shared_computation(genres, intervals, eval_config, models, example_weighted)
    baseline = baseline_name(eval_config) if eval_config else None
    keys = [
        metric_types.MetricKey(
            name=name, model_name=model, sub_key=sub_key, example_weighted=example_weighted
        )
        for model in models
        if model != baseline
        for sub_key in sub_keys or (None,)
    ]
    margin = functools.partial(_margin, metric=metric, kind=kind, bound=bound)
    result = functools.partial(_margins, keys=keys, margin=margin, min_support=min_support)
    return [shared, derived_computation(shared, keys, result)]


def _margins(
    estimates: Estimates,
    *,
    keys: Sequence[metric_types.MetricKey],
    margin: Callable[[Mapping[str, float]], float],
    min_support: int,
) -> Values:
    margins: Values = {}
    for key in keys:
        model = estimates[key.model_name]
        if key.sub_key is None:
            margins[key] = margin({name: float(v) for name, v in model.overall.items()})
            continue
        genre = {name: float(v[key.sub_key.class_id]) for name, v in model.per_genre.items()}
        positives = genre["true_positives"] + genre["false_negatives"]
        negatives = genre["false_positives"] + genre["true_negatives"]
        found = margin(genre) if has_support(positives, negatives) else float("nan")
        undecided = not math.isnan(found) and is_too_few(positives, negatives, min_support)
        margins[key] = 0.0 if undecided else found
    return margins


def _margin(values: Mapping[str, float], *, metric: str, kind: Kind, bound: float) -> float:
    if kind != "change":
        return value_margin(kind, values[metric], bound)
    nan = float("nan")
    if metric + CHANGE not in values:
        return nan if math.isnan(values[metric]) else 0.0
    return change_margin(
        metric,
        bound,
        values[metric],
        values[metric + CHANGE],
        values.get(metric + CHANGE + CI_LOW, nan),
        values.get(metric + CHANGE + CI_HIGH, nan),
    )
