from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import config_util

from components.contracts.label_schema import LabelSchema
from components.contracts.metrics import (
    OVERALL_METRICS,
    PER_GENRE_COUNTS,
    PER_GENRE_METRICS,
)
from components.evaluator.config import EvaluationConfig, GateConfig, Threshold
from components.evaluator.eval_config import make_eval_config

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
    config = make_eval_config(
        labels.genres, EvaluationConfig(gate=GateConfig(overall={}, per_genre={}))
    )
    keys = [
        key for key, _, _ in metric_specs.keys_and_metrics_from_specs(config, config.metrics_specs)
    ]
    names = [key.name for key in keys if key.sub_key is None]
    assert names == [*OVERALL_METRICS, "decision_confusion_matrix"]
    per_genre = (*PER_GENRE_METRICS, *PER_GENRE_COUNTS)
    expected = {(name, i) for name in per_genre for i in range(len(labels.genres))}
    assert {(key.name, key.sub_key.class_id) for key in keys if key.sub_key} == expected


def test_slices_are_all_examples_and_three_views(labels: LabelSchema) -> None:
    overall, *sliced = make_eval_config(labels.genres, EvaluationConfig()).slicing_specs
    assert overall == config_pb2.SlicingSpec()
    assert [list(spec.feature_keys) for spec in sliced] == [
        ["genres"],
        ["genre_count"],
        ["image_side"],
    ]


def test_thresholds_are_margins_of_at_least_zero_on_all_examples(labels: LabelSchema) -> None:
    config = make_eval_config(labels.genres, EvaluationConfig(gate=GATE))
    for has_baseline in (False, True):
        found = thresholds(config, has_baseline=has_baseline)
        expected = {
            ("example_count", None, False): 1.0,
            ("hamming_loss_at_most_margin", None, False): 0.0,
            ("hamming_loss_change_margin", None, False): 0.0,
        }
        for class_id in range(len(labels.genres)):
            for name in ("roc_auc_at_least", "roc_auc_change", "f1_change"):
                expected[(f"{name}_margin", class_id, False)] = 0.0
        assert {key: pairs[0][1].lower_bound.value for key, pairs in found.items()} == expected
        assert {pairs[0][0].SerializeToString() for pairs in found.values()} == {b""}


def test_without_thresholds_examples_are_still_required(labels: LabelSchema) -> None:
    gate = GateConfig(overall={}, per_genre={})
    config = make_eval_config(labels.genres, EvaluationConfig(gate=gate))
    assert set(thresholds(config, has_baseline=False)) == {("example_count", None, False)}


def test_a_stricter_example_count_replaces_the_least_one(labels: LabelSchema) -> None:
    gate = GateConfig(overall={"example_count": Threshold(at_least=50)})
    config = make_eval_config(labels.genres, EvaluationConfig(gate=gate))
    [(_, threshold)] = thresholds(config, has_baseline=False)[("example_count", None, False)]
    assert threshold.lower_bound.value == 50


def test_json_keeps_it_all(labels: LabelSchema) -> None:
    config = make_eval_config(labels.genres, EvaluationConfig(gate=GATE))
    text = json_format.MessageToJson(config)
    assert json_format.Parse(text, config_pb2.EvalConfig()) == config
