from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import distance

from pipeline.commands.drift.chance import (
    are_beyond_chance,
    infinity_distance,
    jensen_shannon,
    p_value,
)


def _p(before: list[int], now: list[int], *, is_categorical: bool = False) -> float:
    return p_value(
        np.array(before),
        np.array(now),
        is_categorical=is_categorical,
        random=np.random.default_rng(0),
    )


def test_the_divergence_is_that_of_scipy() -> None:
    random = np.random.default_rng(0)
    before, now = random.integers(0, 50, (2, 20, 7))
    expected = [distance.jensenshannon(p, q, base=2) ** 2 for p, q in zip(before, now, strict=True)]
    assert jensen_shannon(before, now) == pytest.approx(expected)


@pytest.mark.parametrize("measure", [jensen_shannon, infinity_distance])
def test_the_distances_are_0_for_the_same_and_1_for_what_has_nothing_in_common(
    measure: type[jensen_shannon],
) -> None:
    before, now = np.array([[10, 30, 0], [7, 0, 0]]), np.array([[1, 3, 0], [0, 1, 0]])
    assert measure(before, now) == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("is_categorical", [True, False])
def test_chance_explains_what_chance_brings(is_categorical: bool) -> None:
    random = np.random.default_rng(1)
    shares = [0.5, 0.3, 0.1, 0.1]
    found = np.array(
        [
            _p(
                random.multinomial(500, shares).tolist(),
                random.multinomial(80, shares).tolist(),
                is_categorical=is_categorical,
            )
            for _ in range(200)
        ]
    )
    # Uniform from 0 to 1 if the test is right.
    assert 0.02 <= (found <= 0.05).mean() <= 0.09
    assert 0.4 <= found.mean() <= 0.6


def test_chance_does_not_explain_a_change() -> None:
    assert _p([500, 500], [90, 10]) == pytest.approx(1e-4)
    assert _p([500, 500], [90, 10], is_categorical=True) == pytest.approx(1e-4)


def test_the_same_change_in_few_covers_is_chance() -> None:
    assert _p([500, 500], [3, 1]) > 0.3


def test_what_cannot_differ_is_chance() -> None:
    assert _p([500], [30]) == 1.0


def test_many_comparisons_need_more() -> None:
    p_values = [0.004, 0.03, 0.9]
    assert are_beyond_chance(p_values[:1], 0.05) == [True]
    # Holm: 0.004 <= 0.05 / 3, but 0.03 > 0.05 / 2.
    assert are_beyond_chance(p_values, 0.05) == [True, False, False]
    assert are_beyond_chance([0.9, 0.02, 0.004], 0.05) == [False, True, True]
    assert are_beyond_chance([0.02] * 3, 0.05) == [False] * 3
    assert are_beyond_chance([]) == []
