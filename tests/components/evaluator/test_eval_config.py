from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import config_util

from components.evaluator.config import (
    OVERALL_METRICS,
    PER_GENRE_METRICS,
    EvaluationConfig,
    GateConfig,
    Threshold,
)
from components.evaluator.eval_config import make_eval_config
from components.label_schema import LabelSchema

GATE = GateConfig(
    overall={"hamming_loss": Threshold(at_most=0.3, tolerance=0.01)},
    per_genre={"roc_auc": Threshold(at_least=0.6, tolerance=0.05), "f1": Threshold(tolerance=0)},
)


def thresholds(
    config: config_pb2.EvalConfig, *, has_baseline: bool
) -> dict[tuple[str, int | None, bool], list[Any]]:
    """Returns slice and threshold by name, class id and whether it is about a change."""
    config = config_util.update_eval_config_with_defaults(
        config, has_baseline=has_baseline, rubber_stamp=True
    )
    found = metric_specs.metric_thresholds_from_metrics_specs(config.metrics_specs, config)
    return {
        (key.name, key.sub_key and key.sub_key.class_id, key.is_diff): list(pairs)
        for key, pairs in found.items()
        if key.model_name in ("", "candidate")
    }


def test_all_metrics_are_computed_overall_and_per_genre(labels: LabelSchema) -> None:
    config = make_eval_config(labels, EvaluationConfig())
    keys = [
        key for key, _, _ in metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs)
    ]
    assert [key.name for key in keys if key.sub_key is None] == list(OVERALL_METRICS)
    expected = {(name, i) for name in PER_GENRE_METRICS for i in range(len(labels.genres))}
    assert {(key.name, key.sub_key.class_id) for key in keys if key.sub_key} == expected


def test_slices_are_all_examples_and_each_genre(labels: LabelSchema) -> None:
    overall, by_genre = make_eval_config(labels, EvaluationConfig()).slicing_specs
    assert overall == config_pb2.SlicingSpec()
    assert by_genre == config_pb2.SlicingSpec(feature_keys=["genres"])


def test_thresholds_hold_on_all_examples_only(labels: LabelSchema) -> None:
    config = make_eval_config(labels, EvaluationConfig(gate=GATE))
    found = thresholds(config, has_baseline=True)
    assert all(
        slice_ == config_pb2.SlicingSpec() for pairs in found.values() for slice_, _ in pairs
    )


def test_bounds_and_changes_have_the_direction_of_the_metric(labels: LabelSchema) -> None:
    config = make_eval_config(labels, EvaluationConfig(gate=GATE))
    found = {key: pairs[0][1] for key, pairs in thresholds(config, has_baseline=True).items()}

    assert found[("hamming_loss", None, False)].upper_bound.value == 0.3
    change = found[("hamming_loss", None, True)]
    assert (change.absolute.value, change.direction) == (0.01, config_pb2.LOWER_IS_BETTER)
    for class_id in range(len(labels.genres)):
        assert found[("roc_auc", class_id, False)].lower_bound.value == 0.6
        change = found[("roc_auc", class_id, True)]
        assert (change.absolute.value, change.direction) == (-0.05, config_pb2.HIGHER_IS_BETTER)
        assert found[("f1", class_id, True)].HasField("absolute")


def test_without_a_baseline_only_bounds_remain(labels: LabelSchema) -> None:
    config = make_eval_config(labels, EvaluationConfig(gate=GATE))
    found = thresholds(config, has_baseline=False)
    assert {name for name, _, _ in found} == {"example_count", "hamming_loss", "roc_auc"}
    assert not any(is_diff for _, _, is_diff in found)


def test_a_gate_of_comparisons_alone_still_gives_a_verdict(labels: LabelSchema) -> None:
    gate = GateConfig(overall={"loss": Threshold(tolerance=0.1)}, per_genre={})
    config = make_eval_config(labels, EvaluationConfig(gate=gate))
    assert set(thresholds(config, has_baseline=False)) == {("example_count", None, False)}


def test_a_stricter_example_count_replaces_the_least_one(labels: LabelSchema) -> None:
    gate = GateConfig(overall={"example_count": Threshold(at_least=50)})
    config = make_eval_config(labels, EvaluationConfig(gate=gate))
    [(_, threshold)] = thresholds(config, has_baseline=False)[("example_count", None, False)]
    assert threshold.lower_bound.value == 50


def test_json_keeps_it_all(labels: LabelSchema) -> None:
    config = make_eval_config(labels, EvaluationConfig(gate=GATE))
    text = json_format.MessageToJson(config)
    assert json_format.Parse(text, config_pb2.EvalConfig()) == config
