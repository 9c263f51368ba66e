"""The TFMA configuration: what to compare, on which slices, with which thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.proto import config_pb2

from components.contracts.label_schema import LABEL
from components.contracts.metrics import (
    EXAMPLE_COUNT,
    OVERALL_METRICS,
    PER_GENRE_COUNTS,
    PER_GENRE_METRICS,
)
from components.contracts.signatures import EXAMPLES_SIGNATURE, PROBABILITIES
from components.evaluator.config import EvaluationConfig, GateConfig
from components.evaluator.extractors import SLICED_FEATURES
from components.evaluator.gate import least_examples, rules
from components.evaluator.margins import ThresholdMargin, margin_name
from components.evaluator.metrics import (
    CONFUSION_PLOT,
    DecisionConfusionPlot,
    MultiLabelMetric,
    metric_config,
)


def make_eval_config(
    genres: Sequence[str], config: EvaluationConfig, slice_features: Sequence[str] = ()
) -> config_pb2.EvalConfig:
    """Returns the configuration of TFX's Evaluator.

    Metrics are computed on all examples and, for the report, on slices: by genre, by number
    of genres, by image size and by slice columns. Thresholds apply only to all examples
    together: within the slice of a genre every example has it, so ranking it is meaningless.

    An example count of at least 1 is always among the thresholds, so that there is a
    verdict even if no others are set.

    Args:
        genres: genre names in the order of the model's outputs.
        config: the thresholds, and how intervals are computed.
        slice_features: the features of the slice columns.
    """
    shared = {
        "genres": list(genres),
        "intervals": config.intervals.model_dump(),
    }
    overall = [name for name in OVERALL_METRICS if name != EXAMPLE_COUNT]
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name=EXAMPLES_SIGNATURE,
                label_key=LABEL,
                prediction_key=PROBABILITIES,
            )
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(
                config_pb2.SlicingSpec(feature_keys=[key])
                for key in (*SLICED_FEATURES, *slice_features)
            ),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    _with_lower_bound(
                        config_pb2.MetricConfig(class_name="ExampleCount"),
                        least_examples(config.gate),
                    ),
                    *(metric_config(MultiLabelMetric, name, **shared) for name in overall),
                    *_margins(config.gate, shared, per_genre=False),
                    metric_config(DecisionConfusionPlot, CONFUSION_PLOT),
                ]
            ),
            config_pb2.MetricsSpec(
                metrics=[
                    *(
                        metric_config(MultiLabelMetric, name, **shared)
                        for name in PER_GENRE_METRICS + PER_GENRE_COUNTS
                    ),
                    *_margins(config.gate, shared, per_genre=True),
                ],
                binarize=config_pb2.BinarizationOptions(
                    class_ids=config_pb2.RepeatedInt32Value(values=range(len(genres)))
                ),
            ),
        ],
        options=config_pb2.Options(include_default_metrics={"value": False}),
    )


def _margins(
    gate: GateConfig, shared: Mapping[str, Any], *, per_genre: bool
) -> Iterator[config_pb2.MetricConfig]:
    for rule, is_per_genre in rules(gate):
        if is_per_genre == per_genre:
            name = margin_name(rule.metric, rule.kind)
            margin = metric_config(ThresholdMargin, name, **dataclasses.asdict(rule), **shared)
            yield _with_lower_bound(margin, 0.0)


def _with_lower_bound(metric: config_pb2.MetricConfig, bound: float) -> config_pb2.MetricConfig:
    metric.per_slice_thresholds.append(
        config_pb2.PerSliceMetricThreshold(
            slicing_specs=[config_pb2.SlicingSpec()],
            threshold=config_pb2.MetricThreshold(value_threshold={"lower_bound": {"value": bound}}),
        )
    )
    return metric
