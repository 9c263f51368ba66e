"""The margins of the gate as a TFMA metric."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.contracts.checks import Kind
from components.evaluator.combiners import baseline_name
from components.evaluator.gate import Rule, Support, judge
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
    computed for the candidate only.
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
            min_support: how many examples a genre needs to be decisive.
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


MARGIN_SUFFIX = "_margin"


def margin_name(metric: str, kind: Kind) -> str:
    """Returns the name of a margin, such as `roc_auc_at_least_margin`."""
    return f"{metric}_{kind.replace(' ', '_')}{MARGIN_SUFFIX}"


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
    rule = Rule(metric, kind, bound, min_support)
    result = functools.partial(_margins, keys=keys, rule=rule)
    return [shared, derived_computation(shared, keys, result)]


def _margins(estimates: Estimates, *, keys: Sequence[metric_types.MetricKey], rule: Rule) -> Values:
    margins: Values = {}
    for key in keys:
        model = estimates[key.model_name]
        if key.sub_key is None:
            overall = {name: float(value) for name, value in model.overall.items()}
            margins[key] = judge(rule, overall, None).margin
            continue
        genre = {
            name: float(value[key.sub_key.class_id]) for name, value in model.per_genre.items()
        }
        support = Support(
            genre["true_positives"] + genre["false_negatives"],
            genre["false_positives"] + genre["true_negatives"],
        )
        margins[key] = judge(rule, genre, support).margin
    return margins
