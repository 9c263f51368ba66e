"""The metrics as TFMA builds and combines them, without a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing import util as beam_testing
from sklearn import metrics as sk
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.metrics.multi_label_confusion_matrix_plot import (
    MultiLabelConfusionMatrixPlot,
)
from tensorflow_model_analysis.proto import config_pb2

from components.contracts.signatures import DECISIONS, PROBABILITIES
from components.evaluator.combiners import (
    ConfusionCombineFn,
    EstimatesCombineFn,
    with_prediction_key,
)
from components.evaluator.metrics import MultiLabelMetric, metric_config
from components.support.compat import LOCAL_BEAM_ARGS

Metrics = dict[tuple[str, int | None], float]


def make_config(
    names: Sequence[str],
    genres: Sequence[str],
    *,
    models: Sequence[str] = ("",),
    weight_key: str = "",
    resamples: int = 0,
) -> config_pb2.EvalConfig:
    """Returns a configuration of overall metrics, and of ROC AUC and F1 per genre."""

    def metric(name: str) -> config_pb2.MetricConfig:
        intervals = {"resamples": resamples}
        return metric_config(MultiLabelMetric, name, genres=list(genres), intervals=intervals)

    class_ids = config_pb2.RepeatedInt32Value(values=range(len(genres)))
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                name=model,
                label_key="label",
                example_weight_key=weight_key,
                is_baseline=model == "baseline",
            )
            for model in models
        ],
        metrics_specs=[
            config_pb2.MetricsSpec(metrics=[metric(name) for name in names], model_names=models),
            config_pb2.MetricsSpec(
                metrics=[metric(name) for name in ("roc_auc", "f1")],
                model_names=models,
                binarize=config_pb2.BinarizationOptions(class_ids=class_ids),
            ),
        ],
    )


def to_inputs(outputs: Any, weights: Any = None) -> list[metric_types.StandardMetricInputs]:
    weights = np.ones(len(outputs.labels)) if weights is None else weights
    return [
        metric_types.StandardMetricInputs(
            labels=label,
            predictions={PROBABILITIES: probabilities, DECISIONS: decisions},
            example_weights=np.array([weight]),
        )
        for label, probabilities, decisions, weight in zip(
            outputs.labels, outputs.probabilities, outputs.decisions, weights, strict=True
        )
    ]


def to_joint_inputs(models: dict[str, Any]) -> list[metric_types.StandardMetricInputs]:
    """Returns what TFMA gives the metrics when it evaluates several models."""
    rows = zip(*(to_inputs(outputs) for outputs in models.values()), strict=True)
    return [
        metric_types.StandardMetricInputs(
            labels=row[0].labels,
            predictions=dict(zip(models, [each.predictions for each in row], strict=True)),
        )
        for row in rows
    ]


def combine_fns(config: config_pb2.EvalConfig) -> list[beam.CombineFn]:
    computations = metric_specs.to_computations(config.metrics_specs, eval_config=config)
    direct = [c for c in computations if isinstance(c, metric_types.MetricComputation)]
    return [computation.combiner for computation in dict.fromkeys(direct)]


def derive(config: config_pb2.EvalConfig, shared: Iterable[dict[Any, Any]]) -> dict[Any, float]:
    """Returns the metrics by key, given the outputs of the combiners."""
    values: dict[Any, Any] = {}
    for output in shared:
        values |= output
    computations = metric_specs.to_computations(config.metrics_specs, eval_config=config)
    metrics: dict[Any, float] = {}
    for computation in computations:
        if isinstance(computation, metric_types.DerivedMetricComputation):
            metrics |= computation.result(values)
    return metrics


def by_name(metrics: dict[Any, float]) -> Metrics:
    return {(key.name, key.sub_key and key.sub_key.class_id): v for key, v in metrics.items()}


def combine(combine_fn: beam.CombineFn, bundles: Iterable[Iterable[Any]]) -> Any:
    """Adds each bundle to an accumulator, compacts every other one, and merges them."""
    accumulators = []
    for number, bundle in enumerate(bundles):
        accumulator = combine_fn.create_accumulator()
        for element in bundle:
            accumulator = combine_fn.add_input(accumulator, element)
        accumulators.append(combine_fn.compact(accumulator) if number % 2 else accumulator)
    return combine_fn.extract_output(combine_fn.merge_accumulators(accumulators))


def compute(config: config_pb2.EvalConfig, *bundles: Iterable[Any]) -> Metrics:
    return by_name(derive(config, [combine(fn, bundles) for fn in combine_fns(config)]))


def test_all_metrics_of_all_models_share_one_computation(genres: tuple[str, ...]) -> None:
    names = ["hamming_loss", "macro_roc_auc", "loss"]
    for models in (("",), ("candidate", "baseline")):
        [combine_fn] = combine_fns(make_config(names, genres, models=models))
        assert isinstance(combine_fn, EstimatesCombineFn)


def test_beam_combines_them_to_the_values_of_scikit_learn(
    make_outputs: Callable[..., Any], genres: tuple[str, ...]
) -> None:
    outputs = make_outputs()
    config = make_config(["hamming_loss", "macro_roc_auc"], genres)

    def check(outputs_of_combiners: list[dict[Any, Any]]) -> None:
        metrics = by_name(derive(config, outputs_of_combiners))
        y, p, d = outputs.labels, outputs.probabilities, outputs.decisions
        assert metrics[("hamming_loss", None)] == pytest.approx(sk.hamming_loss(y, d))
        assert metrics[("macro_roc_auc", None)] == pytest.approx(sk.roc_auc_score(y, p))
        for i in range(len(genres)):
            assert metrics[("roc_auc", i)] == pytest.approx(sk.roc_auc_score(y[:, i], p[:, i]))
            assert metrics[("f1", i)] == pytest.approx(sk.f1_score(y[:, i], d[:, i]))

    with beam.Pipeline(argv=list(LOCAL_BEAM_ARGS)) as pipeline:
        inputs = pipeline | beam.Create([("", row) for row in to_inputs(outputs)])
        combined = [
            inputs
            | f"Combine{number}" >> beam.CombinePerKey(combine_fn).with_hot_key_fanout(8)
            | f"Values{number}" >> beam.Values()
            for number, combine_fn in enumerate(combine_fns(config))
        ]
        beam_testing.assert_that(combined | beam.Flatten(), check)


def test_neither_order_nor_bundles_matter(
    make_outputs: Callable[..., Any], genres: tuple[str, ...]
) -> None:
    config = make_config(["micro_f1", "loss", "micro_roc_auc", "macro_average_precision"], genres)
    inputs = to_inputs(make_outputs())
    shuffled = random.Random(0).sample(inputs, len(inputs))
    whole = compute(config, inputs)
    assert compute(config, shuffled) == pytest.approx(whole, abs=1e-12)
    bundles: tuple[list[Any], ...] = (
        shuffled[:1],
        shuffled[1:90],
        [],
        shuffled[90:120],
        shuffled[120:],
    )
    assert compute(config, *bundles) == pytest.approx(whole, abs=1e-12)
    assert len(whole) == 4 + 2 * len(genres)


def test_example_weights_count(make_outputs: Callable[..., Any], genres: tuple[str, ...]) -> None:
    outputs = make_outputs()
    weights = np.random.default_rng(0).random(200).astype(np.float32)
    config = make_config(["hamming_loss", "macro_roc_auc"], genres, weight_key="weight")
    metrics = compute(config, to_inputs(outputs, weights))
    hamming_loss = sk.hamming_loss(outputs.labels, outputs.decisions, sample_weight=weights)
    roc_auc = sk.roc_auc_score(outputs.labels, outputs.probabilities, sample_weight=weights)
    assert metrics[("hamming_loss", None)] == pytest.approx(hamming_loss, abs=1e-6)
    assert metrics[("macro_roc_auc", None)] == pytest.approx(roc_auc, abs=1e-6)


def test_a_model_is_read_by_its_name(
    make_outputs: Callable[..., Any], genres: tuple[str, ...]
) -> None:
    models = {"candidate": make_outputs(0), "baseline": make_outputs(1, skill=0.5)}
    config = make_config(["macro_roc_auc"], genres, models=tuple(models))
    inputs = to_joint_inputs(models)
    metrics = derive(config, [combine(fn, [inputs]) for fn in combine_fns(config)])
    for name, outputs in models.items():
        key = metric_types.MetricKey("macro_roc_auc", model_name=name)
        expected = sk.roc_auc_score(outputs.labels, outputs.probabilities)
        assert metrics[key] == pytest.approx(expected)


def test_intervals_and_changes_are_beside_the_values(
    make_outputs: Callable[..., Any], genres: tuple[str, ...]
) -> None:
    models = {"candidate": make_outputs(0), "baseline": make_outputs(1, skill=0.5)}
    config = make_config(["hamming_loss"], genres, models=tuple(models), resamples=50)
    inputs = to_joint_inputs(models)
    metrics = derive(config, [combine(fn, [inputs]) for fn in combine_fns(config)])
    found = {(key.model_name, key.name) for key in metrics if key.sub_key is None}
    ends = ("_ci_low", "_ci_high")
    expected = {(model, f"hamming_loss{end}") for model in models for end in ("", *ends)}
    expected |= {("candidate", f"hamming_loss_change{end}") for end in ends}
    assert found == expected


def test_other_genres_than_the_schemas_are_refused(make_outputs: Callable[..., Any]) -> None:
    config = make_config(["macro_roc_auc"], ["pop", "rock"])
    with pytest.raises(ValueError, match=r"Expected label and prediction of shape \(2,\)"):
        compute(config, to_inputs(make_outputs()))


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="Received: 'accuracy'"):
        MultiLabelMetric("accuracy", ["pop", "rock"], {})


@pytest.mark.parametrize("weighted", [False, True])
def test_the_confusion_plot_is_that_of_tfma(
    make_outputs: Callable[..., Any], genres: tuple[str, ...], weighted: bool
) -> None:
    outputs, n = make_outputs(), len(genres)
    outputs.labels[:, 2] = 0.0  # a genre that no example has
    inputs = to_inputs(outputs, np.random.default_rng(0).random(len(outputs.labels)))
    bundles = [inputs[:50], inputs[50:51], [], inputs[51:]]
    config = make_config([], genres)
    key = metric_types.PlotKey(name="plot", example_weighted=weighted)
    ours = combine(ConfusionCombineFn(key, config, 0.5), bundles)[key]
    [computation] = MultiLabelConfusionMatrixPlot(thresholds=[0.5], name="plot").computations(
        eval_config=with_prediction_key(config, DECISIONS), example_weighted=weighted
    )
    of_tfma = combine(computation.combiner, bundles)[key]
    [matrix], [expected] = ours.matrices, of_tfma.matrices
    assert matrix.threshold == expected.threshold == 0.5
    assert len(matrix.entries) == len(expected.entries) == (n - 1) * n
    for entry, other in zip(matrix.entries, expected.entries, strict=True):
        given, wanted = (
            {field.name: value for field, value in each.ListFields()} for each in (entry, other)
        )
        assert given == pytest.approx(wanted, abs=1e-5)
    assert not combine(ConfusionCombineFn(key, config, 0.5), [[], []])[key].matrices
