"""The record of an evaluation: its metrics by genre name, and every threshold of the gate.

`record.json` lies in the Evaluator's `evaluation` artifact, beside TFMA's own files and the gate's
`decision.json`. Reading it needs neither TensorFlow nor TFMA.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contracts.checks import Check, Status
from components.contracts.metrics import EXAMPLE_COUNT
from components.contracts.records import read_record, write_record

RECORD_FILE = "record.json"
FORMAT_VERSION = 1

Values = dict[str, float]

NO_VALUE = "(no value)"
"""The slice of a slice column that holds the covers without a value."""
_OTHER_VALUES = re.compile(r"\([0-9,]+ other values?\)")


@dataclasses.dataclass(frozen=True)
class ModelMetrics:
    """The metrics of one model by name; an undefined value is NaN.

    Each metric is accompanied by name + `_ci_low` and `_ci_high`, the ends of its confidence
    interval, if intervals were computed; with a baseline, also by name + `_change_ci_low` and
    `_change_ci_high`.

    Attributes:
        overall: metrics of all genres together, on all examples.
        per_genre: metrics of each genre against the rest, on all examples.
        slices: feature -> its value -> `overall`, but on the examples of that slice; the
            slices of feature `genres` are in the schema's order; a value that no example has
            is absent. A slice column is the feature `slice/COLUMN`; numbers and intervals of
            them ascend, other values descend by number of examples.
    """

    overall: Values
    per_genre: dict[str, Values]
    slices: dict[str, dict[str, Values]]

    @property
    def example_count(self) -> int:
        """The number of examples evaluated."""
        return int(self.overall.get(EXAMPLE_COUNT, 0))

    def of(self, genre: str | None) -> Values:
        """Returns the metrics of a genre, or of all genres together."""
        return self.overall if genre is None else self.per_genre[genre]

    def support(self, genre: str) -> tuple[int, int]:
        """Returns the numbers of examples with and without a genre."""
        counts = self.per_genre[genre]
        with_genre = counts["true_positives"] + counts["false_negatives"]
        without = counts["false_positives"] + counts["true_negatives"]
        return round(with_genre), round(without)

    def to_dict(self) -> dict[str, Any]:
        """Returns the metrics ready for JSON: an undefined value is None."""
        return {
            "overall": _without_nan(self.overall),
            "per_genre": {key: _without_nan(value) for key, value in self.per_genre.items()},
            "slices": {
                feature: {value: _without_nan(metrics) for value, metrics in slices.items()}
                for feature, slices in self.slices.items()
            },
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ModelMetrics:
        """Reads what `to_dict` returned."""
        return cls(
            overall=_with_nan(fields["overall"]),
            per_genre={key: _with_nan(value) for key, value in fields["per_genre"].items()},
            slices={
                feature: {value: _with_nan(metrics) for value, metrics in slices.items()}
                for feature, slices in fields["slices"].items()
            },
        )


@dataclasses.dataclass(frozen=True)
class Evaluation(ModelMetrics):
    """The metrics of a trained model and of its baseline, and the gate's thresholds.

    Attributes:
        genres: genre names in the order of the model's outputs.
        confidence: the confidence of the intervals; None if there are none.
        blessed: whether the model met every threshold.
        checks: every threshold of the gate, overall ones first.
        confusion: decided[i][j]: of the examples with genre i, how many the model decided to
            have genre j.
        baseline: metrics of the latest pushed model; None if there was none.
    """

    genres: tuple[str, ...]
    confidence: float | None
    blessed: bool
    checks: tuple[Check, ...]
    confusion: tuple[tuple[int, ...], ...]
    baseline: ModelMetrics | None

    @property
    def failures(self) -> tuple[Check, ...]:
        """The thresholds that the model missed."""
        return tuple(check for check in self.checks if check.status is Status.FAILED)

    @property
    def warnings(self) -> tuple[Check, ...]:
        """One check for each genre and metric with too few examples to be decisive."""
        undecided = [check for check in self.checks if check.status is Status.NOT_DECIDED]
        return tuple({(check.genre, check.metric): check for check in undecided}.values())

    def to_dict(self) -> dict[str, Any]:
        """Returns everything ready for JSON; see `Check.to_dict`."""
        return {
            "blessed": self.blessed,
            "checks": [check.to_dict() for check in self.checks],
            "failures": [check.to_dict() for check in self.failures],
            "warnings": [check.to_dict() for check in self.warnings],
            "example_count": self.example_count,
            "genres": list(self.genres),
            "confidence": self.confidence,
            **super().to_dict(),
            "confusion": [list(row) for row in self.confusion],
            "baseline": None if self.baseline is None else self.baseline.to_dict(),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Evaluation:
        """Reads what `to_dict` returned."""
        metrics = ModelMetrics.from_dict(fields)
        baseline = fields["baseline"]
        return cls(
            overall=metrics.overall,
            per_genre=metrics.per_genre,
            slices=metrics.slices,
            genres=tuple(fields["genres"]),
            confidence=fields["confidence"],
            blessed=fields["blessed"],
            checks=tuple(map(Check.from_dict, fields["checks"])),
            confusion=tuple(tuple(row) for row in fields["confusion"]),
            baseline=None if baseline is None else ModelMetrics.from_dict(baseline),
        )


def write_evaluation(folder: Path | str, evaluation: Evaluation) -> None:
    """Writes `record.json`."""
    write_record(Path(folder) / RECORD_FILE, FORMAT_VERSION, evaluation.to_dict())


def read_evaluation(folder: Path | str) -> Evaluation:
    """Reads the record in the folder of an `evaluation` artifact.

    Raises:
        DeploymentError: there is no record of this version.
    """
    path = Path(folder) / RECORD_FILE
    return read_record(path, FORMAT_VERSION, "the record of an evaluation", Evaluation.from_dict)


def other_values(count: int) -> str:
    """Returns the name of the slice that holds all values of a column without one of their own."""
    return f"({count:,} other value{'' if count == 1 else 's'})"


def is_remainder(name: str) -> bool:
    """Tells whether a slice of a slice column is not that of one value or interval."""
    return name == NO_VALUE or _OTHER_VALUES.fullmatch(name) is not None


def or_none(value: float) -> float | None:
    """Returns None for NaN."""
    return None if math.isnan(value) else value


def _without_nan(values: Values) -> dict[str, float | None]:
    return {name: or_none(value) for name, value in values.items()}


def _with_nan(values: Mapping[str, float | None]) -> Values:
    return {name: math.nan if value is None else value for name, value in values.items()}
