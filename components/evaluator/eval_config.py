"""The TFMA configuration: what to compare, on which slices, with which thresholds."""

from __future__ import annotations

from collections.abc import Mapping

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.config import (
    EXAMPLE_COUNT,
    LOWER_IS_BETTER,
    OVERALL_METRICS,
    PER_GENRE_METRICS,
    EvaluationConfig,
    Threshold,
)
from components.evaluator.metrics import metric_config
from components.label_schema import GENRES, LABEL, LabelSchema
from components.signatures import EXAMPLES_SIGNATURE, PROBABILITIES

_NOT_EMPTY = Threshold(at_least=1.0)


def make_eval_config(schema: LabelSchema, config: EvaluationConfig) -> config_pb2.EvalConfig:
    """Returns the configuration of TFX's Evaluator.

    Metrics are computed on all examples and, for the report, on the examples of each
    genre. Thresholds hold on all examples only: within the slice of a genre every
    example has it, and ranking it is meaningless.

    An example count of at least 1 is always among the thresholds, so that there is a
    verdict even if all others are comparisons and no model has been pushed yet.

    Args:
        schema: names the genres in the order of the model's outputs.
        config: the thresholds.
    """
    overall = {EXAMPLE_COUNT: _NOT_EMPTY, **config.gate.overall}
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
            config_pb2.SlicingSpec(feature_keys=[GENRES]),
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[_metric(name, schema, overall) for name in OVERALL_METRICS]
            ),
            config_pb2.MetricsSpec(
                metrics=[
                    _metric(name, schema, config.gate.per_genre) for name in PER_GENRE_METRICS
                ],
                binarize=config_pb2.BinarizationOptions(
                    class_ids=config_pb2.RepeatedInt32Value(values=range(len(schema.genres)))
                ),
            ),
        ],
        options=config_pb2.Options(include_default_metrics={"value": False}),
    )


def _metric(
    name: str, schema: LabelSchema, thresholds: Mapping[str, Threshold]
) -> config_pb2.MetricConfig:
    if name == EXAMPLE_COUNT:
        metric = config_pb2.MetricConfig(class_name="ExampleCount")
    else:
        metric = metric_config(name, schema.genres)
    if name in thresholds:
        metric.per_slice_thresholds.append(
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[config_pb2.SlicingSpec()],
                threshold=_metric_threshold(name, thresholds[name]),
            )
        )
    return metric


def _metric_threshold(name: str, threshold: Threshold) -> config_pb2.MetricThreshold:
    result = config_pb2.MetricThreshold()
    if threshold.at_least is not None:
        result.value_threshold.lower_bound.value = threshold.at_least
    if threshold.at_most is not None:
        result.value_threshold.upper_bound.value = threshold.at_most
    if threshold.tolerance is not None:
        lower = name in LOWER_IS_BETTER
        result.change_threshold.CopyFrom(
            config_pb2.GenericChangeThreshold(
                direction="LOWER_IS_BETTER" if lower else "HIGHER_IS_BETTER",
                absolute={"value": threshold.tolerance if lower else -threshold.tolerance},
            )
        )
    return result
