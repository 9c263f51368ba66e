"""What chance explains: random re-divisions of the same covers, and many comparisons at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FALSE_ALARMS = 0.01
"""The share of checks without any change that may end in an alarm, over all comparisons."""

_DIVISIONS = 9_999


def p_value(
    before: npt.NDArray[np.int64],
    now: npt.NDArray[np.int64],
    *,
    is_categorical: bool,
    random: np.random.Generator,
) -> float:
    """Returns how often a random division of the covers is as far apart as this one, about.

    Args:
        before: covers in each bin, shape (bins,).
        now: the same of the other side.
        is_categorical: whether the bins are categories, which L-infinity compares.
        random: draws the divisions.
    """
    pooled = before + now
    drawn = random.multivariate_hypergeometric(
        pooled, int(now.sum()), size=_DIVISIONS, method="marginals"
    )
    measure = infinity_distance if is_categorical else jensen_shannon
    by_chance = measure(pooled - drawn, drawn)
    # Equal distances differ in the last digits.
    as_far = int((by_chance >= measure(before[None], now[None])[0] - 1e-12).sum())
    return (as_far + 1) / (_DIVISIONS + 1)


def are_beyond_chance(p_values: Sequence[float], false_alarms: float = FALSE_ALARMS) -> list[bool]:
    """Tells which of several comparisons are more than chance explains, by Holm's correction.

    Args:
        p_values: of each comparison.
        false_alarms: greatest probability that, without any change, any of them is true.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    beyond = [False] * len(p_values)
    for rank, place in enumerate(order):
        if p_values[place] > false_alarms / (len(p_values) - rank):
            break
        beyond[place] = True
    return beyond


def jensen_shannon(
    before: npt.NDArray[np.int64], now: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Returns the Jensen-Shannon divergences, base 2, of rows of counts; shape (rows,)."""
    p, q = _shares(before), _shares(now)
    middle = (p + q) / 2
    return (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2


def infinity_distance(
    before: npt.NDArray[np.int64], now: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Returns the largest differences of shares of rows of counts; shape (rows,)."""
    distance: npt.NDArray[np.float64] = np.abs(_shares(before) - _shares(now)).max(axis=1)
    return distance


def _shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return counts / counts.sum(axis=1, keepdims=True)


def _relative_entropy(
    p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    entropy: npt.NDArray[np.float64] = (p * np.log2(ratio)).sum(axis=1)
    return entropy
