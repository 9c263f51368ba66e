from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from components.evaluator.config import EvaluationConfig, GateConfig, Threshold


def test_the_default_gate_is_better_than_guessing_and_no_regression() -> None:
    gate = EvaluationConfig().gate
    assert gate.overall == {"macro_roc_auc": Threshold(at_least=0.55, tolerance=0.01)}
    assert gate.per_genre == {"roc_auc": Threshold(at_least=0.5, tolerance=0.02)}


@pytest.mark.parametrize(("level", "known"), [("overall", "macro_f1"), ("per_genre", "f1")])
def test_an_unknown_metric_is_refused_with_the_list_of_known_ones(level: str, known: str) -> None:
    thresholds = {level: {"accuracy": {"at_least": 0.5}}}
    with pytest.raises(ValidationError, match=rf"{known}.*Received: accuracy"):
        EvaluationConfig.model_validate({"gate": thresholds})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"at_least": 0.6, "at_most": 0.5},
        {"tolerance": -0.1},
        {"at_least": float("nan")},
        {"at_lest": 0.5},
    ],
)
def test_a_threshold_that_says_nothing_or_nonsense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Threshold.model_validate(values)


def test_a_percentage_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"macro_f1 between 0 and 1\. Received: 55"):
        GateConfig(overall={"macro_f1": Threshold(at_least=55)})


def test_a_loss_and_a_count_may_exceed_one() -> None:
    GateConfig(overall={"loss": Threshold(at_most=2), "example_count": Threshold(at_least=100)})


@pytest.mark.parametrize(
    "values", [{"at_least": 0}, {"at_most": 9}, {"at_least": 5, "tolerance": 0}]
)
def test_an_example_count_is_a_floor(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="example_count"):
        GateConfig.model_validate({"overall": {"example_count": values}})
