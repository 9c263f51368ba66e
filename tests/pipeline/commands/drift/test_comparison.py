from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.commands.drift.chance import infinity_distance, jensen_shannon
from pipeline.commands.drift.comparison import Compared, Shift, bin_edges, compare

Columns = dict[str, np.ndarray]


def _covers(seed: int, count: int, **changed: Any) -> Columns:
    """Covers of which most are 300 pixels wide; `changed` replaces columns."""
    random = np.random.default_rng(seed)
    columns: Columns = {
        "image/format": np.where(random.random(count) < 0.1, "PNG", "JPEG"),
        "image/width": np.where(random.random(count) < 0.9, 300, 299),
        "image/size": random.lognormal(10, 0.5, count).astype(np.int64),
        "image/saturation": random.beta(2, 4, count),
        "decided/rock": np.where(random.random(count) < 0.25, "yes", "no"),
        "probability/rock": random.beta(2, 5, count),
    }
    for name, change in changed.items():
        name = name.replace("__", "/")
        columns[name] = np.array([change(value) for value in columns[name]])
    return columns


def _compared(before: Columns, now: Columns, **thresholds: float) -> dict[str, Shift]:
    features = [Compared(name, before[name], now[name]) for name in before]
    return {shift.name: shift for shift in compare(features, thresholds)}


def _drifted(before: Columns, now: Columns) -> set[str]:
    return {name for name, shift in _compared(before, now).items() if shift.is_drift}


@pytest.mark.parametrize("count", [50, 100, 400, 2000])
@pytest.mark.parametrize("seed", range(1, 6))
def test_unshifted_covers_have_no_drift(count: int, seed: int) -> None:
    assert not _drifted(_covers(0, 1500), _covers(seed, count))


@pytest.mark.parametrize("count", [60, 400])
@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("image__format", lambda value: "PNG"),
        ("image__width", lambda value: 600),
        ("image__size", lambda value: value * 4),
        ("image__saturation", lambda value: 0.0),
        ("decided__rock", lambda value: "yes"),
        ("probability__rock", lambda value: value / 2 + 0.4),
    ],
)
def test_each_shift_is_found_and_nothing_else(column: str, change: Any, count: int) -> None:
    now = _covers(1, count, **{column: change})
    assert _drifted(_covers(0, 1500), now) == {column.replace("__", "/")}


def test_the_distances_are_those_of_the_bins() -> None:
    before, now = _covers(0, 900), _covers(1, 300, image__saturation=lambda value: value * 0.8)
    for name, shift in _compared(before, now).items():
        pooled = np.concatenate([before[name], now[name]])
        if pooled.dtype.kind == "U":
            names = np.unique(pooled)
            counts = [(side[name][:, None] == names).sum(axis=0) for side in (before, now)]
            measure = infinity_distance
        else:
            counts = [
                np.histogram(side[name], bin_edges(pooled.astype(float)))[0]
                for side in (before, now)
            ]
            measure = jensen_shannon
        assert shift.distance == pytest.approx(measure(*(each[None] for each in counts))[0])


def test_a_few_odd_covers_are_no_drift() -> None:
    before = _covers(0, 1500, image__width=lambda value: 300)
    now = _covers(1, 400, image__width=lambda value: 300)
    now["image/width"][:8] = 5000
    assert _compared(before, now)["image/width"].distance < 0.02
    assert not _drifted(before, now)


def test_a_distance_above_the_threshold_may_be_chance() -> None:
    before, now = _covers(0, 1500), _covers(3, 12)
    shifts = _compared(before, now)
    assert any(shift.distance > shift.threshold for shift in shifts.values())
    assert not any(shift.is_drift for shift in shifts.values())


def test_a_change_below_the_threshold_is_none_however_sure() -> None:
    before, now = _covers(0, 5000), _covers(1, 5000, probability__rock=lambda value: value * 0.9)
    shift = _compared(before, now)["probability/rock"]
    assert shift.p_value < 0.001 and shift.distance < shift.threshold and not shift.is_drift
    lower = _compared(before, now, **{"probability/rock": shift.distance / 2})["probability/rock"]
    assert lower.is_drift and lower.threshold == pytest.approx(shift.distance / 2)


def test_a_shift_says_what_it_was_and_is() -> None:
    before = _covers(0, 500, image__format=lambda value: "JPEG", image__width=lambda value: 300)
    now = _covers(1, 500, image__format=lambda value: "PNG", image__width=lambda value: 600)
    shifts = _compared(before, now)
    width, image_format = shifts["image/width"], shifts["image/format"]
    assert (width.before, width.now, width.category) == (300.0, 600.0, "")
    assert (image_format.before, image_format.now, image_format.category) == (0.0, 1.0, "PNG")
    assert shifts["decided/rock"].category == "yes"


def test_the_same_seed_gives_the_same_answer() -> None:
    before, now = _covers(0, 300), _covers(1, 100)
    assert _compared(before, now) == _compared(before, now)


def test_bins_hold_about_as_many_and_a_frequent_value_has_its_own() -> None:
    values = np.concatenate([np.full(600, 300.0), np.linspace(100, 299, 200), [400.0] * 200])
    edges = bin_edges(values)
    counts = dict(zip(edges, np.histogram(values, edges)[0], strict=False))
    assert counts[300.0] == 600 and counts[400.0] == 200
    assert sum(counts.values()) == 1000
    even = np.histogram(np.arange(1000.0), bin_edges(np.arange(1000.0)))[0]
    assert even.min() > 90 and even.sum() == 1000
    assert np.histogram([7.0] * 5, bin_edges(np.array([7.0] * 5)))[0].tolist() == [5]
