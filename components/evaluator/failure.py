"""A threshold that a model did not hold, and the sentence that says so."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from components.evaluator.config import EXAMPLE_COUNT, LOWER_IS_BETTER

_MIN_DIGITS, _MAX_DIGITS = 3, 9

Kind = Literal["at least", "at most", "change"]


@dataclasses.dataclass(frozen=True)
class Failure:
    """A threshold that was not held.

    Attributes:
        genre: the genre it is about; None for all genres together.
        metric: name of the metric.
        kind: what was asked: a value of at least or at most `bound`, or a change to the
            worse of at most `bound` against the latest pushed model.
        bound: the bound; never negative for kind "change".
        value: the model's value; None if it is undefined.
        baseline_value: the pushed model's value; None if undefined or not compared.
        reason: why a value is undefined; None if none is.
    """

    genre: str | None
    metric: str
    kind: Kind
    bound: float
    value: float | None
    baseline_value: float | None = None
    reason: str | None = None

    @property
    def change(self) -> float | None:
        """The value minus the pushed model's; None if one of them is not known."""
        if self.value is None or self.baseline_value is None:
            return None
        return self.value - self.baseline_value

    def sentence(self) -> str:
        """Returns the failure in plain English, such as "rock: roc_auc 0.512, needed ..."."""
        subject = f"{self.genre or 'overall'}: {self.metric}"
        if self.kind == "change":
            return f"{subject} {self._comparison()}"
        if self.value is None:
            return f"{subject} is undefined, as {self.reason}; needed {self.kind} {self.bound:g}"
        distance = abs(self.value - self.bound)
        value, bound, by = self._format(self.value, self.bound, distance)
        need = "needed at least" if self.kind == "at least" else "allowed at most"
        wrong = "short" if self.kind == "at least" else "over"
        return f"{subject} {value}, {need} {bound} ({wrong} by {by})"

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, the change and the sentence, ready for JSON."""
        return {
            **dataclasses.asdict(self),
            "change": self.change,
            "sentence": self.sentence(),
        }

    def _comparison(self) -> str:
        if self.value is None or self.baseline_value is None or self.change is None:
            return f"cannot be compared with the pushed model's, as {self.reason}"
        value, baseline, distance, tolerance = self._format(
            self.value, self.baseline_value, abs(self.change), self.bound
        )
        side = "above" if self.metric in LOWER_IS_BETTER else "below"
        return f"{value} is {distance} {side} the pushed model's {baseline} (tolerance {tolerance})"

    def _format(self, *values: float) -> list[str]:
        """Writes values with as many digits as it takes to tell them apart, at least 3."""
        if self.metric == EXAMPLE_COUNT:
            return [f"{value:g}" for value in values]
        distinct = len({round(value, _MAX_DIGITS) for value in values})
        for digits in range(_MIN_DIGITS, _MAX_DIGITS):
            texts = [f"{value:.{digits}f}" for value in values]
            vanished = 0.0 not in values and f"{0.0:.{digits}f}" in texts
            if len(set(texts)) == distinct and not vanished:
                return texts
        return [f"{value:.{_MAX_DIGITS}f}" for value in values]
