"""The project's metrics as TFMA metrics."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.contracts.metrics import CHANGE, CI_HIGH, CI_LOW
from components.evaluator.combiners import ConfusionCombineFn
from components.evaluator.shared import (
    Estimates,
    Values,
    check_name,
    derived_computation,
    shared_computation,
)

CONFUSION_PLOT = "decision_confusion_matrix"
_DECIDED = 0.5

_SUFFIXES = ("", CI_LOW, CI_HIGH, CHANGE + CI_LOW, CHANGE + CI_HIGH)


class MultiLabelMetric(metric_types.Metric):
    """One metric of a multi-label classifier, by name, with its confidence interval.

    Besides `name` it returns `name_ci_low` and `name_ci_high`, and, compared with a baseline,
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

    def __init__(self, name: str, genres: Sequence[str], intervals: Mapping[str, Any]) -> None:
        """Creates the metric.

        Args:
            name: one of `components.contracts.metrics.METRICS`, except the example count, which
                TFMA's `ExampleCount` computes.
            genres: genre names in the order of labels and predictions; kept with the
                results, so that these can be read by genre.
            intervals: the fields of a `config.Intervals`.

        Raises:
            ValueError: there is no metric of this name.
        """
        check_name(name)
        super().__init__(
            _metric_computations,
            name=name,
            genres=list(genres),
            intervals=dict(intervals),
        )


class DecisionConfusionPlot(metric_types.Metric):
    """TFMA's `MultiLabelConfusionMatrixPlot`, of the model's own decisions.

    TFMA applies one threshold to all probabilities; the model has one for each genre.
    """

    def __init__(self, name: str = CONFUSION_PLOT) -> None:
        super().__init__(_confusion_computations, name=name)


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
    eval_config: config_pb2.EvalConfig | None = None,
    model_names: Sequence[str] | None = None,
    sub_keys: Sequence[metric_types.SubKey | None] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    """Returns the shared computation and the selection of this metric from it."""
    models = tuple(model_names or ("",))
    shared = shared_computation(genres, intervals, eval_config, models, example_weighted)
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
    return [shared, derived_computation(shared, keys, functools.partial(_select, keys=keys))]


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


def _confusion_computations(
    name: str,
    eval_config: config_pb2.EvalConfig | None = None,
    model_names: Sequence[str] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    keys = [
        metric_types.PlotKey(name=name, model_name=model, example_weighted=example_weighted)
        for model in model_names or [""]
    ]
    config = eval_config or config_pb2.EvalConfig()
    return [
        metric_types.MetricComputation(
            keys=[key],
            preprocessors=None,
            combiner=ConfusionCombineFn(key, config, _DECIDED),
        )
        for key in keys
    ]
