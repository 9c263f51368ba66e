"""Which values of a column become slices."""

from __future__ import annotations

from collections import Counter

import pytest

from components.contracts.evaluation_record import NO_VALUE
from components.evaluator.config import SliceConfig
from components.evaluator.results import _ordered_values
from components.evaluator.slices import Slicing, plan_column

CONFIG = SliceConfig(most_values=20, min_covers=3)


def planned(values: list[str], config: SliceConfig = CONFIG) -> Slicing:
    return plan_column(Counter((value,) for value in values), config)


def test_few_values_are_slices_as_they_are() -> None:
    slicing = planned(["US"] * 5 + ["UK"] * 4 + ["1990"] * 3)
    assert slicing.shown == {"US", "UK", "1990"}
    assert slicing.slices(["UK"]) == ["UK"]
    assert slicing.slices(["US", "UK"]) == ["UK", "US"]
    assert slicing.slices([]) == [NO_VALUE]


def test_rare_values_are_one_slice_that_says_how_many() -> None:
    slicing = planned(["US"] * 5 + ["UK"] * 2 + ["FR"])
    assert slicing.shown == {"US"}
    assert slicing.others == "(2 other values)"
    assert slicing.slices(["FR"]) == slicing.slices(["UK", "FR"]) == ["(2 other values)"]
    assert slicing.slices(["FR", "US"]) == ["(2 other values)", "US"]


def test_of_thousands_of_values_the_most_frequent_are_slices() -> None:
    artists = [f"Artist {n}" for n in range(3000) for _ in range(1 + (n < 50) * (60 - n))]
    slicing = planned(artists)
    assert slicing.shown == {f"Artist {n}" for n in range(20)}
    assert slicing.others == "(2,980 other values)"
    assert slicing.slices(["never seen"]) == ["(2,980 other values)"]


def test_years_become_decades_and_mistakes_among_them_do_not_matter() -> None:
    years = [str(year) for year in range(1950, 2025) for _ in range(5)]
    slicing = planned([*years, "0", "99999", "unknown"])
    assert slicing.shown == {f"{d} to {d + 9}" for d in range(1950, 2030, 10)}
    assert slicing.slices(["1979", "1980"]) == ["1970 to 1979", "1980 to 1989"]
    assert slicing.slices(["1984", "1985"]) == ["1980 to 1989"]
    assert slicing.slices(["0"]) == slicing.slices(["unknown"]) == ["(3 other values)"]


def test_dates_count_as_their_years() -> None:
    dates = [f"{year}-{month:02d}-01" for year in range(1960, 2000) for month in range(1, 13)]
    slicing = planned(dates)
    assert slicing.shown == {f"{d} to {d + 9}" for d in range(1960, 2000, 10)}
    assert slicing.slices(["1987-05-12"]) == slicing.slices(["1987"]) == ["1980 to 1989"]


def test_fractions_and_negative_numbers_have_intervals_too() -> None:
    shares = planned([f"{n / 1000:.3f}" for n in range(1000)])
    assert len(shares.shown) == 10
    assert shares.slices(["0.999"]) == ["0.9 up to 1.0"]
    assert shares.slices(["0.100"]) == ["0.1 up to 0.2"]
    degrees = planned([str(n) for n in range(-50, 50)])
    assert degrees.slices(["-1"]) == ["-10 to -1"]
    assert degrees.slices(["-10"]) == ["-10 to -1"]
    assert degrees.slices(["0"]) == ["0 to 9"]


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "1e999999999", "1_000", "٣", "9" * 40, "", "1980 to 1989"]
)
def test_what_only_looks_like_a_number_is_a_value(value: str) -> None:
    years = [str(year) for year in range(1950, 2025) for _ in range(5)]
    assert planned([*years, value]).name(value) == value


def test_a_column_of_mostly_words_has_no_intervals() -> None:
    slicing = planned([f"Artist {n}" for n in range(30)] + ["1999", "311", "50"] * 3)
    assert slicing.width is None
    assert slicing.shown == {"1999", "311", "50"}


def test_a_column_without_frequent_values_is_one_slice() -> None:
    slicing = planned([f"Artist {n}" for n in range(30)])
    assert slicing.shown == frozenset()
    assert slicing.slices(["Artist 7"]) == ["(30 other values)"]


def test_numbers_ascend_and_words_descend_by_size() -> None:
    def ordered(sizes: dict[str, int]) -> list[str]:
        return list(_ordered_values({name: {"example_count": n} for name, n in sizes.items()}))

    numbers = {"(3 other values)": 90, "100 to 199": 1, "20 to 29": 2, NO_VALUE: 8, "-5 to -1": 3}
    assert ordered(numbers) == ["-5 to -1", "20 to 29", "100 to 199", "(3 other values)", NO_VALUE]
    words = {"UK": 4, NO_VALUE: 70, "(Sandy) Alex G": 6, "(1 other value)": 9, "1999": 5, "DE": 4}
    assert ordered(words) == [
        "(Sandy) Alex G",
        "1999",
        "DE",
        "UK",
        "(1 other value)",
        NO_VALUE,
    ]
