"""The TFMA configuration: what to compare, on which slices, with which thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tensorflow_model_analysis.proto import config_pb2

from components.contracts.evaluation.gate import Kind
from components.contracts.evaluation.names import (
    CONFUSION_THRESHOLDS,
    EXAMPLE_COUNT,
    OVERALL_METRICS,
    PER_GENRE_COUNTS,
    PER_GENRE_METRICS,
)
from components.contracts.label_schema import LABEL, LabelSchema
from components.contracts.signatures import EXAMPLES_SIGNATURE, PROBABILITIES
from components.evaluator.config import EvaluationConfig, Threshold
from components.evaluator.extractors import SLICED_FEATURES
from components.evaluator.margins import ThresholdMargin, margin_name
from components.evaluator.metrics import (
    CONFUSION_PLOT,
    DecisionConfusionPlot,
    MultiLabelMetric,
    metric_config,
)


def make_eval_config(
    schema: LabelSchema, config: EvaluationConfig, code_fingerprint: str = ""
) -> config_pb2.EvalConfig:
    """Returns the configuration of TFX's Evaluator.

    Metrics are computed on all examples and, for the report, on slices: by genre, by number
    of genres and by image size. Thresholds hold on all examples only: within the slice of a
    genre every example has it, and ranking it is meaningless.

    An example count of at least 1 is always among the thresholds, so that there is a
    verdict even if there are no others.

    Args:
        schema: names the genres in the order of the model's outputs.
        config: the thresholds, and how intervals are computed.
        code_fingerprint: hash of this folder's code; a cache key only.
    """
    shared = {
        "genres": list(schema.genres),
        "intervals": config.intervals.model_dump(),
    }
    counted = config.gate.overall.get(EXAMPLE_COUNT)
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
            *(config_pb2.SlicingSpec(feature_keys=[key]) for key in SLICED_FEATURES),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    _example_count(counted.at_least if counted else None),
                    *(
                        metric_config(MultiLabelMetric, name, code=code_fingerprint, **shared)
                        for name in overall
                    ),
                    *_margins(config.gate.overall, config.gate.min_support, shared),
                    metric_config(DecisionConfusionPlot, CONFUSION_PLOT),
                ]
            ),
            config_pb2.MetricsSpec(
                metrics=[
                    *(
                        metric_config(MultiLabelMetric, name, code=code_fingerprint, **shared)
                        for name in PER_GENRE_METRICS + PER_GENRE_COUNTS
                    ),
                    *_margins(config.gate.per_genre, config.gate.min_support, shared),
                    _confusion_at_thresholds(),
                ],
                binarize=config_pb2.BinarizationOptions(
                    class_ids=config_pb2.RepeatedInt32Value(values=range(len(schema.genres)))
                ),
            ),
        ],
        options=config_pb2.Options(include_default_metrics={"value": False}),
    )


def _example_count(at_least: float | None) -> config_pb2.MetricConfig:
    metric = config_pb2.MetricConfig(class_name="ExampleCount")
    return _with_lower_bound(metric, max(1.0, at_least or 0.0))


def _margins(
    thresholds: Mapping[str, Threshold], min_support: int, shared: Mapping[str, Any]
) -> Iterator[config_pb2.MetricConfig]:
    for metric, threshold in thresholds.items():
        if metric == EXAMPLE_COUNT:
            continue
        bounds: dict[Kind, float | None] = {
            "at least": threshold.at_least,
            "at most": threshold.at_most,
            "change": threshold.tolerance,
        }
        for kind, bound in bounds.items():
            if bound is None:
                continue
            margin = metric_config(
                ThresholdMargin,
                margin_name(metric, kind),
                metric=metric,
                kind=kind,
                bound=bound,
                min_support=min_support,
                **shared,
            )
            yield _with_lower_bound(margin, 0.0)


def _confusion_at_thresholds() -> config_pb2.MetricConfig:
    return config_pb2.MetricConfig(
        class_name="ConfusionMatrixAtThresholds",
        config='{"thresholds": [' + ", ".join(f"{t:g}" for t in CONFUSION_THRESHOLDS) + "]}",
    )


def _with_lower_bound(metric: config_pb2.MetricConfig, bound: float) -> config_pb2.MetricConfig:
    metric.per_slice_thresholds.append(
        config_pb2.PerSliceMetricThreshold(
            slicing_specs=[config_pb2.SlicingSpec()],
            threshold=config_pb2.MetricThreshold(value_threshold={"lower_bound": {"value": bound}}),
        )
    )
    return metric
