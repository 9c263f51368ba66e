"""Which values of slice columns become slices: few enough to read, and of enough covers to tell.

A column may hold a country, a year, or one of thousands of artists. Decided once from the values of
all test covers:

- If a column has more values than `SliceConfig.most_values` and nine of ten are numbers (of a
  date, its year), the numbers are united to intervals: of the smallest width among the powers of
  ten for which the most frequent intervals hold nearly all covers.
- The most frequent values, or intervals, of at least `SliceConfig.min_covers` covers are slices.
- All other values are one slice, and the covers without a value another.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

from components.contracts.evaluation_record import NO_VALUE, other_values
from components.contracts.files import split_folder
from components.contracts.label_schema import SLICE_PREFIX, TEST_SPLIT
from components.evaluator.config import SliceConfig

_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")
_DATE = re.compile(r"([0-9]{4})[-/.][0-9]{1,2}([-/.][0-9]{1,2}([T ].*)?)?")
_NUMERIC_SHARE = 0.9
_HELD_SHARE = 0.95
_WIDEST = 15


@dataclasses.dataclass(frozen=True)
class Slicing:
    """How the values of one column become slices.

    Attributes:
        shown: the values, or names of intervals, that are slices of their own.
        others: the name of the slice of all other values.
        width: the width of the intervals; None if there are none.
        is_whole: whether all numbers are integers.
    """

    shown: frozenset[str]
    others: str
    width: Decimal | None = None
    is_whole: bool = True

    def slices(self, values: Iterable[str]) -> list[str]:
        """Returns the slices of a cover with these values."""
        names = {self.name(value) for value in values}
        slices = {name if name in self.shown else self.others for name in names}
        return sorted(slices) or [NO_VALUE]

    def name(self, value: str) -> str:
        """Returns the value itself, or the name of its interval."""
        number = None if self.width is None else _number(value)
        if number is None:
            return value
        assert self.width is not None
        low = _floor(number, self.width)
        if not self.is_whole:
            return f"{low:f} up to {low + self.width:f}"
        return f"{low:f}" if self.width == 1 else f"{low:f} to {low + self.width - 1:f}"


def read_slice_values(predictions: Path | str) -> dict[str, Counter[tuple[str, ...]]]:
    """Returns slice feature -> how many test covers have which values.

    Args:
        predictions: the folder of the `predictions` artifact.
    """
    import tensorflow as tf

    found: dict[str, Counter[tuple[str, ...]]] = {}
    files = sorted(str(path) for path in split_folder(predictions, TEST_SPLIT).glob("*"))
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        for key in features:
            if key.startswith(SLICE_PREFIX):
                values = tuple(map(text, features[key].bytes_list.value))
                found.setdefault(key, Counter())[values] += 1
    return dict(sorted(found.items()))


def plan_slices(
    found: Mapping[str, Counter[tuple[str, ...]]], config: SliceConfig
) -> dict[str, Slicing]:
    """Returns slice feature -> how its values become slices."""
    return {feature: plan_column(values, config) for feature, values in found.items()}


def plan_column(found: Mapping[tuple[str, ...], int], config: SliceConfig) -> Slicing:
    """Decides how the values of one column become slices.

    Args:
        found: values of a cover -> number of test covers with them.
        config: how many slices there may be, and how small.
    """
    distinct = sorted({value for values in found for value in values})
    unlimited = Slicing(frozenset(), "")
    if len(distinct) > config.most_values:
        unlimited = _with_intervals(unlimited, found, distinct, config.most_values)
    covers = _covers(unlimited, found)
    frequent = sorted(covers, key=lambda name: (-covers[name], name))[: config.most_values]
    shown = frozenset(name for name in frequent if covers[name] >= config.min_covers)
    left = sum(unlimited.name(value) not in shown for value in distinct)
    return dataclasses.replace(unlimited, shown=shown, others=other_values(left))


def _with_intervals(
    slicing: Slicing,
    found: Mapping[tuple[str, ...], int],
    distinct: Sequence[str],
    most_values: int,
) -> Slicing:
    numbers = [number for number in map(_number, distinct) if number is not None]
    if len(numbers) < _NUMERIC_SHARE * len(distinct):
        return slicing
    exponents = [int(number.as_tuple().exponent) for number in numbers]
    slicing = dataclasses.replace(slicing, is_whole=min(exponents) >= 0)
    for exponent in range(min(0, *exponents), _WIDEST):
        united = dataclasses.replace(slicing, width=Decimal(1).scaleb(exponent))
        covers = _covers(united, found)
        held = sum(number for _, number in covers.most_common(most_values))
        if held >= _HELD_SHARE * covers.total():
            return united
    return slicing


def _covers(slicing: Slicing, found: Mapping[tuple[str, ...], int]) -> Counter[str]:
    """Counts the covers of each value or interval, whether shown or not."""
    covers: Counter[str] = Counter()
    for values, number in found.items():
        for name in {slicing.name(value) for value in values}:
            covers[name] += number
    return covers


def _number(value: str) -> Decimal | None:
    date = _DATE.fullmatch(value)
    if date:
        return Decimal(date[1])
    return Decimal(value) if _NUMBER.fullmatch(value) else None


def _floor(number: Decimal, width: Decimal) -> Decimal:
    return (number / width).to_integral_value(ROUND_FLOOR) * width


def text(value: bytes) -> str:
    """Returns the text of a feature's value."""
    return value.decode("utf-8", errors="backslashreplace")


# TFX calls `extractors.custom_extractors` by its name, and hands it nothing of ours.
_planned: contextvars.ContextVar[Mapping[str, Slicing]] = contextvars.ContextVar("slices")


@contextlib.contextmanager
def planned(slicings: Mapping[str, Slicing]) -> Iterator[None]:
    """Makes slicings known to the extractors that are made meanwhile."""
    token = _planned.set(slicings)
    try:
        yield
    finally:
        _planned.reset(token)


def current_slicings() -> Mapping[str, Slicing]:
    """Returns slice feature -> slicing; see `planned`."""
    return _planned.get({})
