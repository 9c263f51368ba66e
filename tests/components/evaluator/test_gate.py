from __future__ import annotations

import math
from typing import Any

import pytest

from components.contracts.checks import Kind, Status
from components.evaluator.gate import Rule, Standing, Support, judge

NAN = math.nan


def _judge(
    kind: Kind, bound: float, value: float, support: Support | None = None, **values: float
) -> Standing:
    metric = "loss" if kind == "at most" else "roc_auc"
    rule = Rule(metric, kind, bound, min_support=20)
    return judge(rule, {metric: value, **values}, support)


def _change(change: float, low: float, high: float, metric: str = "roc_auc") -> Standing:
    values = {
        metric: 0.7,
        f"{metric}_change": change,
        f"{metric}_change_ci_low": low,
        f"{metric}_change_ci_high": high,
    }
    return judge(Rule(metric, "change", 0.02, 20), values, None)


@pytest.mark.parametrize(
    ("positives", "negatives", "status"),
    [
        (20, 20, Status.HELD),
        (19, 200, Status.NOT_DECIDED),
        (200, 19, Status.NOT_DECIDED),
        (1, 1, Status.NOT_DECIDED),
        (0, 200, Status.NOT_DECIDED),
        (200, 0, Status.FAILED),
        (0, 0, Status.FAILED),
    ],
)
def test_few_examples_do_not_decide_but_a_genre_of_all_does(
    positives: int, negatives: int, status: Status
) -> None:
    standing = _judge("at least", 0.6, 0.7, Support(positives, negatives))
    assert standing.status is status
    assert (standing.margin >= 0.0) is (status is not Status.FAILED)


def test_a_genre_without_examples_does_not_decide_by_an_undefined_value() -> None:
    for kind in ("at least", "at most", "change"):
        standing = _judge(kind, 0.6, NAN, Support(0, 200))
        assert standing == (Status.NOT_DECIDED, 0.0, None)


def test_a_bound_is_held_by_the_bound_itself_and_by_no_undefined_value() -> None:
    assert _judge("at least", 0.6, 0.6) == (Status.HELD, 0.0, None)
    assert _judge("at most", 0.6, 0.6) == (Status.HELD, 0.0, None)
    assert _judge("at least", 0.6, 0.5).margin < 0.0
    assert _judge("at most", 0.6, 0.7).status is Status.FAILED
    for support in (None, Support(3, 300)):
        undefined = _judge("at least", 0.6, NAN, support)
        assert undefined.status is Status.FAILED
        assert not undefined.margin >= 0.0


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
    assert _change(change, low, high, metric).allowed == pytest.approx(allowed)


def test_a_change_refuses_only_beyond_the_tolerance_and_beyond_chance() -> None:
    def margin(*change: float, **metric: Any) -> float:
        standing = _change(*change, **metric)
        assert standing.status is (Status.HELD if standing.margin >= 0.0 else Status.FAILED)
        return standing.margin

    assert margin(-0.05, -0.07, -0.03) < 0.0
    assert margin(-0.05, -0.12, 0.02) >= 0.0  # noise
    assert margin(-0.015, -0.02, -0.01) >= 0.0  # tolerated
    assert margin(0.05, 0.03, 0.07) >= 0.0
    assert margin(0.05, 0.03, 0.07, metric="loss") < 0.0
    assert margin(-0.05, -0.07, -0.03, metric="loss") >= 0.0


def test_an_undefined_value_is_refused_but_not_one_that_replaces_an_undefined_one() -> None:
    undefined = judge(Rule("roc_auc", "change", 0.02, 20), {"roc_auc_change": NAN}, None)
    assert undefined.status is Status.FAILED
    assert _change(NAN, NAN, NAN)[:2] == (Status.HELD, 0.0)


def test_without_a_pushed_model_a_change_is_not_compared_if_there_is_a_value() -> None:
    assert _judge("change", 0.02, 0.7) == (Status.NOT_COMPARED, 0.0, None)
    assert _judge("change", 0.02, 0.7, Support(3, 300)).status is Status.NOT_DECIDED
    assert _judge("change", 0.02, NAN).status is Status.FAILED
