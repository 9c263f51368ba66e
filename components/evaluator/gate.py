"""The rules of the gate: how a value measures up to its threshold.

- "at least" and "at most" compare the measured value with the bound.
- "change" compares with the latest pushed model, both on the same test covers. A change for the
  worse is allowed up to the tolerance, and up to what chance explains: as long as the confidence
  interval of the change includes no change or an improvement.
- A genre with fewer examples with it, or without it, than the minimum is not decisive. That goes
  for one that no example has, too. One that every example has refuses: nothing is known about it.
- An undefined value of a genre with examples, or of all genres, refuses.
- Without a pushed model, or if the pushed model's value is undefined while this one's is not, there
  is nothing to be worse than.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from components.contracts.checks import Kind, Status
from components.contracts.metrics import CHANGE, CI_HIGH, CI_LOW, EXAMPLE_COUNT, METRICS
from components.evaluator.config import GateConfig


@dataclasses.dataclass(frozen=True)
class Rule:
    """One threshold.

    Attributes:
        metric: name of the metric that is bounded.
        kind: see `Check`.
        bound: the bound, or for kind "change" the tolerance.
        min_support: how many examples with a genre, and without it, it needs to be decisive.
    """

    metric: str
    kind: Kind
    bound: float
    min_support: int


class Support(NamedTuple):
    """How many examples have a genre, and how many do not."""

    positives: float
    negatives: float

    @property
    def is_known(self) -> bool:
        """Whether there are examples both with the genre and without it."""
        return min(self) > 0


class Standing(NamedTuple):
    """How a value measures up to a threshold.

    Attributes:
        status: what the threshold decided.
        margin: how far the value is on the right side; negative or NaN refuses.
        allowed: the allowed change for the worse; None if nothing was compared.
    """

    status: Status
    margin: float
    allowed: float | None = None


def rules(gate: GateConfig) -> Iterator[tuple[Rule, bool]]:
    """Yields every rule of a gate except the example count, and whether it is per genre."""
    for thresholds, per_genre in ((gate.overall, False), (gate.per_genre, True)):
        for metric, threshold in thresholds.items():
            bounds: dict[Kind, float | None] = {
                "at least": threshold.at_least,
                "at most": threshold.at_most,
                "change": threshold.tolerance,
            }
            for kind, bound in bounds.items():
                if metric != EXAMPLE_COUNT and bound is not None:
                    yield Rule(metric, kind, bound, gate.min_support), per_genre


def least_examples(gate: GateConfig) -> float:
    """Returns the number of examples that a model has to be evaluated on, at least 1."""
    counted = gate.overall.get(EXAMPLE_COUNT)
    return max(1.0, (counted.at_least or 0.0) if counted else 0.0)


def judge(rule: Rule, values: Mapping[str, float], support: Support | None) -> Standing:
    """Returns how a model measures up to a threshold.

    Args:
        rule: the threshold.
        values: the model's metrics by name, of the genre or of all genres; compared with a pushed
            model also name + `_change` and the ends of its interval. Undefined values are NaN.
        support: of the genre; None for all genres together.
    """
    value = values.get(rule.metric, math.nan)
    change = values.get(rule.metric + CHANGE)
    allowed = None if rule.kind != "change" or change is None else _allowed(rule, values, change)
    if support is not None and not support.positives and support.negatives:
        return Standing(Status.NOT_DECIDED, 0.0, allowed)
    if math.isnan(value) or (support is not None and not support.is_known):
        return Standing(Status.FAILED, math.nan, allowed)
    if rule.kind == "change":
        margin = _change_margin(rule, change, allowed)
    else:
        margin = value - rule.bound if rule.kind == "at least" else rule.bound - value
    if support is not None and min(support) < rule.min_support:
        return Standing(Status.NOT_DECIDED, 0.0, allowed)
    if rule.kind == "change" and change is None:
        return Standing(Status.NOT_COMPARED, margin)
    return Standing(Status.HELD if margin >= 0.0 else Status.FAILED, margin, allowed)


def _change_margin(rule: Rule, change: float | None, allowed: float | None) -> float:
    if change is None or allowed is None or math.isnan(change):
        return 0.0
    return allowed + (-change if METRICS[rule.metric].better == "lower" else change)


def _allowed(rule: Rule, values: Mapping[str, float], change: float) -> float:
    low, high = (values.get(rule.metric + CHANGE + end, math.nan) for end in (CI_LOW, CI_HIGH))
    chance = change - low if METRICS[rule.metric].better == "lower" else high - change
    return rule.bound if math.isnan(chance) else max(rule.bound, chance)
