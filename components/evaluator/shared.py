"""One computation for all metrics: it sees the outputs of all models, so it can compare them.

TFMA asks each metric for its computations and runs equal ones once; a single metric only selects
its values from the shared result.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.contracts.metrics import METRICS
from components.evaluator.bootstrap import ModelEstimates
from components.evaluator.combiners import EstimatesCombineFn
from components.evaluator.config import Intervals

Estimates = Mapping[str, ModelEstimates]
Values = dict[metric_types.MetricKey, float]

_COMPUTED = tuple(name for name, metric in METRICS.items() if metric.function)


def shared_computation(
    genres: Sequence[str],
    intervals: Mapping[str, Any],
    eval_config: config_pb2.EvalConfig | None,
    model_names: Sequence[str],
    example_weighted: bool,
) -> metric_types.MetricComputation:
    """Returns the computation of all estimates, which metrics with equal arguments share."""
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


def derived_computation(
    shared: metric_types.MetricComputation,
    keys: Sequence[metric_types.MetricKey],
    result: Callable[[Estimates], Values],
) -> metric_types.DerivedMetricComputation:
    """Returns the computation that makes the values under `keys` from the shared estimates."""
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


def check_name(name: str) -> None:
    """Raises ValueError if there is no metric of this name."""
    if name not in _COMPUTED:
        raise ValueError(f"Expected one of the names {', '.join(_COMPUTED)}. Received: {name!r}.")
