"""The multi-label metrics of `multi_label` as a TFMA metric.

TFMA asks each metric for its computations and runs equal ones once. All metrics of
decisions therefore share one computation and all metrics of probabilities another; a
single metric only selects its value from the shared result.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.combiners import DecisionsCombineFn, ProbabilitiesCombineFn
from components.evaluator.config import EXAMPLE_COUNT, OVERALL_METRICS, PER_GENRE_METRICS
from components.evaluator.multi_label import MetricValues

_NAMES = tuple(name for name in OVERALL_METRICS + PER_GENRE_METRICS if name != EXAMPLE_COUNT)
_OF_PROBABILITIES = frozenset(
    {
        "roc_auc",
        "macro_roc_auc",
        "micro_roc_auc",
        "average_precision",
        "macro_average_precision",
        "micro_average_precision",
        "loss",
    }
)


class MultiLabelMetric(metric_types.Metric):
    """One metric of a multi-label classifier, by name; see `config` for the names.

    Per-genre metrics are computed for the class ids of `MetricsSpec.binarize`, metrics
    of all genres together without. The model has to return `probabilities` and
    `decisions`, float32 of shape (batch, n); `ModelSpec.prediction_key` is not used.

    Example:
        config_pb2.MetricConfig(
            class_name="MultiLabelMetric",
            module="components.evaluator.metrics",
            config='{"name": "hamming_loss", "genres": ["pop", "rock"]}',
        )
    """

    def __init__(self, name: str, genres: Sequence[str]) -> None:
        """Creates the metric.

        Args:
            name: one of `config.OVERALL_METRICS` or `config.PER_GENRE_METRICS`, except the
                example count, which TFMA's `ExampleCount` computes.
            genres: genre names in the order of labels and predictions; kept with the
                results, so that these can be read by genre.

        Raises:
            ValueError: there is no metric of this name.
        """
        if name not in _NAMES:
            raise ValueError(f"Expected a name out of {', '.join(_NAMES)}. Received: {name!r}.")
        super().__init__(_computations, name=name, genres=list(genres))


def metric_config(name: str, genres: Sequence[str]) -> config_pb2.MetricConfig:
    """Returns the part of an EvalConfig that computes `MultiLabelMetric(name, genres)`."""
    return config_pb2.MetricConfig(
        class_name=MultiLabelMetric.__name__,
        module=MultiLabelMetric.__module__,
        config=json.dumps({"name": name, "genres": list(genres)}),
    )


def _computations(
    name: str,
    genres: Sequence[str],
    eval_config: config_pb2.EvalConfig | None = None,
    model_names: Sequence[str] | None = None,
    sub_keys: Sequence[metric_types.SubKey | None] | None = None,
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    """Returns, per model, the shared computation and the selection of this metric."""
    kind = "probabilities" if name in _OF_PROBABILITIES else "decisions"
    combine_fn = ProbabilitiesCombineFn if kind == "probabilities" else DecisionsCombineFn
    computations: metric_types.MetricComputations = []
    for model_name in model_names or ("",):
        # TFMA does not report keys that begin with an underscore.
        shared = metric_types.MetricKey(
            name=f"_metrics_of_{kind}", model_name=model_name, example_weighted=example_weighted
        )
        keys = [
            metric_types.MetricKey(
                name=name,
                model_name=model_name,
                sub_key=sub_key,
                example_weighted=example_weighted,
            )
            for sub_key in sub_keys or (None,)
        ]
        computations += [
            metric_types.MetricComputation(
                keys=[shared],
                preprocessors=None,
                combiner=combine_fn(shared, eval_config or config_pb2.EvalConfig(), len(genres)),
            ),
            metric_types.DerivedMetricComputation(
                keys=keys, result=functools.partial(_select, shared=shared, keys=keys)
            ),
        ]
    return computations


def _select(
    metrics: dict[metric_types.MetricKey, MetricValues],
    shared: metric_types.MetricKey,
    keys: Sequence[metric_types.MetricKey],
) -> dict[metric_types.MetricKey, float]:
    values = metrics[shared]
    return {
        key: float(
            values.overall[key.name]
            if key.sub_key is None
            else values.per_genre[key.name][key.sub_key.class_id]
        )
        for key in keys
    }
