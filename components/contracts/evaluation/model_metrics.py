"""The metrics of one model, by genre and slice."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from components.contracts.evaluation.names import EXAMPLE_COUNT

Values = dict[str, float]


@dataclasses.dataclass(frozen=True)
class ModelMetrics:
    """The metrics of one model by name; an undefined value is NaN.

    Beside each metric there are name + `_ci_low` and `_ci_high`, the ends of its confidence
    interval, if intervals were computed; compared with a baseline, also name +
    `_change_ci_low` and `_change_ci_high`.

    Attributes:
        overall: metrics of all genres together, on all examples.
        per_genre: metrics of each genre against the rest, on all examples.
        slices: feature -> its value -> `overall`, but on the examples of that slice; the
            slices of feature `genres` are in the schema's order; a value that no example has
            is absent.
    """

    overall: Values
    per_genre: dict[str, Values]
    slices: dict[str, dict[str, Values]]

    @property
    def example_count(self) -> int:
        """The number of examples evaluated."""
        return int(self.overall.get(EXAMPLE_COUNT, 0))

    def support(self, genre: str) -> tuple[int, int]:
        """Returns the numbers of examples with and without a genre."""
        counts = self.per_genre[genre]
        with_genre = counts["true_positives"] + counts["false_negatives"]
        without = counts["false_positives"] + counts["true_negatives"]
        return round(with_genre), round(without)

    def to_dict(self) -> dict[str, Any]:
        """Returns the metrics ready for JSON: an undefined value is None."""
        return {
            "overall": without_nan(self.overall),
            "per_genre": {key: without_nan(value) for key, value in self.per_genre.items()},
            "slices": {
                feature: {value: without_nan(metrics) for value, metrics in slices.items()}
                for feature, slices in self.slices.items()
            },
        }


def or_none(value: float) -> float | None:
    """Returns None for NaN."""
    return None if math.isnan(value) else value


def without_nan(values: Values) -> dict[str, float | None]:
    """Returns the values ready for JSON."""
    return {name: or_none(value) for name, value in values.items()}
