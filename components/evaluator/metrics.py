"""The multi-label metrics of `multi_label`, and the margins of the gate, as TFMA metrics.

TFMA asks each metric for its computations and runs equal ones once. All metrics here share one
computation, which sees the outputs of all models and hence can compare them; a single metric only
selects its values from the shared result.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.metrics.multi_label_confusion_matrix_plot import (
    MultiLabelConfusionMatrixPlot,
)
from tensorflow_model_analysis.proto import config_pb2

from components.evaluation.gate import Kind, change_margin, has_support, is_too_few, value_margin
from components.evaluation.names import (
    EXAMPLE_COUNT,
    OVERALL_METRICS,
    PER_GENRE_COUNTS,
    PER_GENRE_METRICS,
)
from components.evaluator.bootstrap import CHANGE, CI_HIGH, CI_LOW, ModelEstimates
from components.evaluator.combiners import EstimatesCombineFn, baseline_name, with_prediction_key
from components.evaluator.config import Intervals
from components.signatures import DECISIONS

CONFUSION_PLOT = "decision_confusion_matrix"

_NAMES = tuple(
    name for name in OVERALL_METRICS + PER_GENRE_METRICS + PER_GENRE_COUNTS if name != EXAMPLE_COUNT
)
_SUFFIXES = ("", CI_LOW, CI_HIGH, CHANGE + CI_LOW, CHANGE + CI_HIGH)

Estimates = Mapping[str, ModelEstimates]
Values = dict[metric_types.MetricKey, float]


class MultiLabelMetric(metric_types.Metric):
    """One metric of a multi-label classifier, by name, with its confidence interval.

    Beside `name` it returns `name_ci_low` and `name_ci_high`, and, compared with a baseline,
    `name_change_ci_low` and `name_change_ci_high` (TFMA itself returns the change). Per-genre
    metrics are computed for the class ids of `MetricsSpec.binarize`, metrics of all genres
    together without. The model has to return `probabilities` and `decisions`, float32 of shape
    (batch, n); `ModelSpec.prediction_key` is not used.

    Example:
        config_pb2.MetricConfig(
            class_name="MultiLabelMetric",
            module="components.evaluator.metrics",
            config='{"name": "hamming_loss", "genres": ["pop", "rock"], "intervals": {}}',
        )
    """

    def __init__(
        self, name: str, genres: Sequence[str], intervals: Mapping[str, Any], code: str = ""
    ) -> None:
        """Creates the metric.

        Args:
            name: one of `config.OVERALL_METRICS`, `config.PER_GENRE_METRICS` or
                `config.PER_GENRE_COUNTS`, except the example count, which TFMA's `ExampleCount`
                computes.
            genres: genre names in the order of labels and predictions; kept with the
                results, so that these can be read by genre.
            intervals: the fields of a `config.Intervals`.
            code: fingerprint of the code; only makes TFX see that it changed.

        Raises:
            ValueError: there is no metric of this name.
        """
        _check_name(name)
        super().__init__(
            _metric_computations,
            name=name,
            genres=list(genres),
            intervals=dict(intervals),
            code=code,
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
        _check_name(metric)
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


class DecisionConfusionPlot(metric_types.Metric):
    """TFMA's `MultiLabelConfusionMatrixPlot`, of the model's own decisions.

    TFMA applies one threshold to all probabilities; the model has one for each genre.
    """

    def __init__(self, name: str = CONFUSION_PLOT) -> None:
        super().__init__(_confusion_computations, name=name)


def margin_name(metric: str, kind: Kind) -> str:
    """Returns the name of a margin, such as `roc_auc_at_least_margin`."""
    return f"{metric}_{kind.replace(' ', '_')}_margin"


def metric_config(
    metric_class: type[metric_types.Metric], name: str, **arguments: Any
) -> config_pb2.MetricConfig:
    """Returns the part of an EvalConfig that computes `metric_class(name, **arguments)`."""
    return config_pb2.MetricConfig(
        class_name=metric_class.__name__,
        module=metric_class.__module__,
        config=json.dumps({"name": name, **arguments}),
    )


def _metric_computations(
    name: str,
    genres: Sequence[str],
    intervals: Mapping[str, Any],
    code: str = "",
    eval_config: config_pb2.EvalConfig | None = None,
    model_names: Sequence[str] | None = None,
    sub_keys: Sequence[metric_types.SubKey | None] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    """Returns the shared computation and the selection of this metric from it."""
    del code
    models = tuple(model_names or ("",))
    shared = _shared(genres, intervals, eval_config, models, example_weighted)
    keys = [
        metric_types.MetricKey(
            name=name + suffix,
            model_name=model,
            sub_key=sub_key,
            example_weighted=example_weighted,
        )
        for model in models
        for sub_key in sub_keys or (None,)
        for suffix in _SUFFIXES
    ]
    return [shared, _derived(shared, keys, functools.partial(_select, keys=keys))]


def _select(estimates: Estimates, *, keys: Sequence[metric_types.MetricKey]) -> Values:
    values: Values = {}
    for key in keys:
        model = estimates[key.model_name]
        if key.sub_key is None:
            if key.name in model.overall:
                values[key] = float(model.overall[key.name])
        elif key.name in model.per_genre:
            values[key] = float(model.per_genre[key.name][key.sub_key.class_id])
    return values


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
    shared = _shared(genres, intervals, eval_config, models, example_weighted)
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
    return [shared, _derived(shared, keys, result)]


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


def _confusion_computations(
    name: str,
    eval_config: config_pb2.EvalConfig | None = None,
    model_names: Sequence[str] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    plot = MultiLabelConfusionMatrixPlot(thresholds=[0.5], name=name)
    return plot.computations(
        eval_config=with_prediction_key(eval_config or config_pb2.EvalConfig(), DECISIONS),
        model_names=list(model_names or [""]),
        example_weighted=example_weighted,
    )


def _shared(
    genres: Sequence[str],
    intervals: Mapping[str, Any],
    eval_config: config_pb2.EvalConfig | None,
    model_names: Sequence[str],
    example_weighted: bool,
) -> metric_types.MetricComputation:
    # TFMA does not report keys that begin with an underscore.
    key = metric_types.MetricKey(name="_estimates", example_weighted=example_weighted)
    return metric_types.MetricComputation(
        keys=[key],
        preprocessors=None,
        combiner=EstimatesCombineFn(
            key,
            eval_config or config_pb2.EvalConfig(),
            model_names,
            len(genres),
            Intervals.model_validate(intervals),
        ),
    )


def _derived(
    shared: metric_types.MetricComputation,
    keys: Sequence[metric_types.MetricKey],
    result: Callable[[Estimates], Values],
) -> metric_types.DerivedMetricComputation:
    [key] = shared.keys
    return metric_types.DerivedMetricComputation(
        keys=list(keys), result=functools.partial(_of_shared, key=key, result=result)
    )


def _of_shared(
    metrics: Mapping[metric_types.MetricKey, Any],
    *,
    key: metric_types.MetricKey,
    result: Callable[[Estimates], Values],
) -> Values:
    return result(metrics[key])


def _check_name(name: str) -> None:
    if name not in _NAMES:
        raise ValueError(f"Expected a name out of {', '.join(_NAMES)}. Received: {name!r}.")
