from __future__ import annotations

import math

import pytest

from components.contracts.evaluation.gate import (
    allowed_change,
    change_margin,
    has_support,
    is_too_few,
    value_margin,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("positives", "negatives", "too_few"),
    [(20, 20, False), (19, 200, True), (200, 19, True), (1, 1, True), (0, 200, False)],
)
def test_few_examples_do_not_decide_but_none_at_all_do(
    positives: int, negatives: int, too_few: bool
) -> None:
    assert is_too_few(positives, negatives, 20) is too_few
    assert has_support(positives, negatives) is (min(positives, negatives) > 0)


def test_a_bound_is_held_by_the_bound_itself_and_by_no_undefined_value() -> None:
    assert value_margin("at least", 0.6, 0.6) == value_margin("at most", 0.6, 0.6) == 0.0
    assert value_margin("at least", 0.5, 0.6) < 0.0
    assert value_margin("at most", 0.7, 0.6) < 0.0
    assert not value_margin("at least", NAN, 0.6) >= 0.0


@pytest.mark.parametrize(
    ("metric", "change", "low", "high", "allowed"),
    [
        ("roc_auc", -0.03, -0.08, 0.01, 0.04),  # the interval reaches no change
        ("roc_auc", -0.03, -0.04, -0.025, 0.02),  # it does not: the tolerance is more
        ("loss", 0.03, -0.01, 0.08, 0.04),
        ("roc_auc", -0.03, NAN, NAN, 0.02),
    ],
)
def test_the_tolerance_or_what_chance_explains_is_allowed(
    metric: str, change: float, low: float, high: float, allowed: float
) -> None:
    assert allowed_change(metric, 0.02, change, low, high) == pytest.approx(allowed)


def test_a_change_refuses_only_beyond_the_tolerance_and_beyond_chance() -> None:
    def margin(change: float, low: float, high: float) -> float:
        return change_margin("roc_auc", 0.02, 0.7, change, low, high)

    assert margin(-0.05, -0.07, -0.03) < 0.0
    assert margin(-0.05, -0.12, 0.02) >= 0.0  # noise
    assert margin(-0.015, -0.02, -0.01) >= 0.0  # tolerated
    assert margin(0.05, 0.03, 0.07) >= 0.0
    assert change_margin("loss", 0.02, 0.7, 0.05, 0.03, 0.07) < 0.0
    assert change_margin("loss", 0.02, 0.7, -0.05, -0.07, -0.03) >= 0.0


def test_an_undefined_value_is_refused_but_not_one_that_replaces_an_undefined_one() -> None:
    assert not change_margin("roc_auc", 0.02, NAN, NAN, NAN, NAN) >= 0.0
    assert change_margin("roc_auc", 0.02, 0.7, NAN, NAN, NAN) == 0.0
