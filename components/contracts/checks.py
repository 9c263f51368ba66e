"""One threshold of the gate against one model: what was required and what was measured."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Literal

from components.contracts.metrics import EXAMPLE_COUNT

Kind = Literal["at least", "at most", "change"]
KINDS: tuple[Kind, ...] = ("at least", "at most", "change")

_MIN_DIGITS, _MAX_DIGITS = 3, 9
_DERIVED = ("change", "sentence")


class Status(str, enum.Enum):
    """What a threshold decided."""

    HELD = "held"
    FAILED = "failed"
    NOT_DECIDED = "not decided"
    """Too few examples: a warning."""
    NOT_COMPARED = "not compared"
    """There is no pushed model to compare with."""


@dataclasses.dataclass(frozen=True)
class Check:
    """A threshold, and how a model measures up to it.

    Attributes:
        genre: the genre it is about; None for all genres together.
        metric: name of the metric.
        kind: what is required: a value of at least or at most `bound`, or a change for the
            worse of at most `bound` from the latest pushed model.
        bound: the bound; never negative for kind "change".
        status: what it decided.
        value: the model's value; None if it is undefined.
        baseline_value: the pushed model's value; None if undefined or not compared.
        allowed: the change for the worse that is allowed: the tolerance, or what chance
            explains if that is more; None for other kinds and if it is unknown.
        positives: examples that have the genre; None for all genres together.
        negatives: examples that do not have it; None for all genres together.
        min_support: how many of each the genre needs to be decisive.
        reason: why a value is undefined; None if it is defined.
    """

    genre: str | None
    metric: str
    kind: Kind
    bound: float
    status: Status = Status.FAILED
    value: float | None = None
    baseline_value: float | None = None
    allowed: float | None = None
    positives: int | None = None
    negatives: int | None = None
    min_support: int = 0
    reason: str | None = None

    @property
    def change(self) -> float | None:
        """The value minus the pushed model's; None if either is unknown."""
        if self.value is None or self.baseline_value is None:
            return None
        return self.value - self.baseline_value

    def sentence(self) -> str:
        """Returns the check in plain English, such as "rock: roc_auc 0.512, needed ..."."""
        subject = f"{self.genre or 'overall'}: {self.metric}"
        if self.status is Status.NOT_DECIDED:
            return f"{subject} {self._undecided()}"
        if self.kind == "change":
            return f"{subject} {self._comparison()}"
        if self.value is None:
            return f"{subject} is undefined, as {self.reason}; needed {self.kind} {self.bound:g}"
        value, bound, by = self._format(self.value, self.bound, abs(self.value - self.bound))
        need = "needed at least" if self.kind == "at least" else "allowed at most"
        if self.status is Status.FAILED:
            wrong = "short" if self.kind == "at least" else "over"
            return f"{subject} {value}, {need} {bound} ({wrong} by {by}{self._support()})"
        return f"{subject} {value}, {need} {bound}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, the change and the sentence, ready for JSON."""
        return {
            **dataclasses.asdict(self),
            "status": self.status.value,
            "change": self.change,
            "sentence": self.sentence(),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Check:
        """Reads what `to_dict` returned."""
        known = {key: value for key, value in fields.items() if key not in _DERIVED}
        return cls(**{**known, "status": Status(fields["status"])})

    def _undecided(self) -> str:
        scarce = min(self.positives or 0, self.negatives or 0)
        which = "with" if scarce == self.positives else "without"
        covers = "1 test cover" if scarce == 1 else f"{scarce} test covers"
        value = "" if self.value is None else f"{self._format(self.value)[0]} "
        return (
            f"{value}is not decisive: {covers} {which} this genre, "
            f"at least {self.min_support} needed"
        )

    def _comparison(self) -> str:
        if self.status is Status.NOT_COMPARED:
            return "has no pushed model to compare with"
        if self.value is None or self.baseline_value is None or self.change is None:
            return f"cannot be compared with the pushed model's, as {self.reason}"
        value, baseline, distance, tolerance, allowed = self._format(
            self.value, self.baseline_value, abs(self.change), self.bound, self.allowed or 0.0
        )
        side = "above" if self.change > 0.0 else "below"
        allowance = f"tolerance {tolerance}"
        if self.allowed is not None and self.allowed > self.bound:
            allowance = f"allowed {allowed}, as chance explains that much"
        return (
            f"{value} is {distance} {side} the pushed model's {baseline} "
            f"({allowance}{self._support()})"
        )

    def _support(self) -> str:
        if self.positives is None:
            return ""
        return f"; {self.positives:,} test cover{'' if self.positives == 1 else 's'}"

    def _format(self, *values: float) -> list[str]:
        """Writes values with as many digits as it takes to tell them apart, but at least 3."""
        if self.metric == EXAMPLE_COUNT:
            return [f"{value:g}" for value in values]
        distinct = len({round(value, _MAX_DIGITS) for value in values})
        for digits in range(_MIN_DIGITS, _MAX_DIGITS):
            texts = [f"{value:.{digits}f}" for value in values]
            vanished = 0.0 not in values and f"{0.0:.{digits}f}" in texts
            if len(set(texts)) == distinct and not vanished:
                return texts
        return [f"{value:.{_MAX_DIGITS}f}" for value in values]
