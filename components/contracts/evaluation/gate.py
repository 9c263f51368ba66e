"""The rules of the gate: how far a value is on the right side of its threshold.

A margin of 0 or more holds, a negative or undefined one refuses:

- "at least" and "at most" compare the measured value with the bound;
- "change" compares with the latest pushed model, both on the same test covers. A change to the
  worse is allowed up to the tolerance, and up to what chance explains: as long as the confidence
  interval of the change reaches the better side, or no change;
- a genre with fewer than the minimum of examples with it or without it does not decide: its
  margin is 0; with none at all it refuses, as nothing is known;
- an undefined value always refuses;
- without a pushed model, or if the pushed model's value is undefined while this one's is not,
  there is nothing to be worse than: the margin is 0.
"""

from __future__ import annotations

import math
from typing import Literal

from components.contracts.evaluation.names import LOWER_IS_BETTER

Kind = Literal["at least", "at most", "change"]
KINDS: tuple[Kind, ...] = ("at least", "at most", "change")


def has_support(positives: float, negatives: float) -> bool:
    """Tells whether there are examples both with the genre and without it."""
    return min(positives, negatives) > 0


def is_too_few(positives: float, negatives: float, min_support: int) -> bool:
    """Tells whether there are some examples, with the genre or without it, but too few."""
    return 0 < min(positives, negatives) < min_support


def allowed_change(
    metric: str, tolerance: float, change: float, ci_low: float, ci_high: float
) -> float:
    """Returns the allowed change to the worse, never negative.

    Args:
        metric: name of the metric; it decides which direction is the better one.
        tolerance: what is allowed in any case.
        change: value minus the pushed model's value.
        ci_low: lower end of the confidence interval of the change; NaN if not known.
        ci_high: upper end of it.
    """
    chance = change - ci_low if metric in LOWER_IS_BETTER else ci_high - change
    return tolerance if math.isnan(chance) else max(tolerance, chance)


def value_margin(kind: Kind, value: float, bound: float) -> float:
    """Returns the margin of a threshold of kind "at least" or "at most"."""
    return value - bound if kind == "at least" else bound - value


def change_margin(
    metric: str, tolerance: float, value: float, change: float, ci_low: float, ci_high: float
) -> float:
    """Returns the margin of a change; see `allowed_change` for the arguments.

    A value that is defined, compared with one that is not, cannot be worse: 0.
    """
    if math.isnan(change) and not math.isnan(value):
        return 0.0
    gain = -change if metric in LOWER_IS_BETTER else change
    return gain + allowed_change(metric, tolerance, change, ci_low, ci_high)
