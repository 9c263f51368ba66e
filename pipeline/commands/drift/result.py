"""What a check for drift found, for people on a terminal and for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size

from components.contracts.label_schema import IMAGE_SIZE
from components.support.errors import DataError
from pipeline.commands.drift.comparison import Shift

DRIFT, NO_DRIFT, TOO_FEW = "drift", "no_drift", "too_few_covers"
FORMAT_VERSION = 1

CONFIDENCE = "confidence"
DECIDED, PROBABILITY = "decided/", "probability/"


@dataclasses.dataclass(frozen=True)
class DriftResult:
    """The result of one check.

    Attributes:
        model: folder of the model.
        version: its version, the folder's name.
        run_id: the run that made it.
        pipeline: the pipeline of the run.
        source: the log or the data that were looked at.
        created: when, ISO 8601.
        covers: distinct covers compared.
        least_covers: with fewer nothing is compared.
        trained_on: covers trained on that they were compared with.
        tested_on: covers tested on whose predictions they were compared with.
        left_out: reason -> records or rows that are not among the covers.
        shifts: what was compared, the furthest from its threshold first; empty if too few covers.
    """

    model: str
    version: str
    run_id: str
    pipeline: str
    source: str
    created: str
    covers: int
    least_covers: int
    trained_on: int
    tested_on: int
    left_out: Mapping[str, int]
    shifts: tuple[Shift, ...]

    @property
    def verdict(self) -> str:
        """`drift`, `no_drift` or `too_few_covers`."""
        if self.covers < self.least_covers:
            return TOO_FEW
        return DRIFT if self.drifted else NO_DRIFT

    @property
    def drifted(self) -> tuple[Shift, ...]:
        """What has drifted."""
        return tuple(shift for shift in self.shifts if shift.is_drift)

    @property
    def exit_code(self) -> int:
        """That of a `DataError` if there is drift, else 0."""
        return DataError.exit_code if self.verdict == DRIFT else 0

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        if self.verdict == TOO_FEW:
            return (
                f"Too few covers to tell: {self.covers:,}, of at least {self.least_covers:,} "
                "that are needed"
            )
        compared = f"{len(self.shifts)} comparisons of {self.covers:,} covers"
        if self.verdict == DRIFT:
            return f"Drift: {len(self.drifted)} of {compared}"
        return f"No drift: none of {compared}"

    def to_dict(self) -> dict[str, Any]:
        """Returns the result ready for JSON."""
        return {
            "format_version": FORMAT_VERSION,
            "verdict": self.verdict,
            "headline": self.headline,
            "exit_code": self.exit_code,
            **dataclasses.asdict(self),
        }


def title(name: str) -> str:
    """Returns a compared feature in words."""
    if name.startswith(DECIDED):
        return f"decided as {name.removeprefix(DECIDED)}"
    if name.startswith(PROBABILITY):
        return f"probability of {name.removeprefix(PROBABILITY)}"
    return name


def value_text(shift: Shift, value: float) -> str:
    """Returns the mean of a number, or the share of a category, as text."""
    if shift.category:
        named = "" if shift.name.startswith(DECIDED) else f"{shift.category} "
        return f"{named}{value:.1%}"
    return f"{value:,.0f}" if shift.name.startswith(_WHOLE) else f"{value:.3f}"


_WHOLE = ("image/width", "image/height", IMAGE_SIZE)


def describe(result: DriftResult, page: Path) -> Iterator[str]:
    """Yields lines for a person: the verdict, what shifted, what was left out, the page."""
    yield result.headline
    yield (
        f"  model {result.version} of run {result.run_id}, trained on {result.trained_on:,} "
        f"and tested on {result.tested_on:,} covers that were looked at"
    )
    if result.drifted:
        yield from _table(result.drifted)
    elif result.shifts:
        first = result.shifts[0]
        yield (
            f"  the furthest: {title(first.name)}, distance {first.distance:.3f}, "
            f"threshold {first.threshold:.2f}"
        )
    if result.left_out:
        listed = ", ".join(f"{reason} {count:,}" for reason, count in result.left_out.items())
        yield f"  left out: {listed}"
    yield f"  report: {page}"


def _table(shifts: tuple[Shift, ...]) -> Iterator[str]:
    width = max(20, *(cell_len(title(shift.name)) + 2 for shift in shifts))
    yield f"  {'shifted':<{width}}{'training':>14}{'now':>14}{'distance':>10}{'threshold':>11}"
    for shift in shifts:
        before, now = (value_text(shift, value) for value in (shift.before, shift.now))
        yield (
            f"  {set_cell_size(title(shift.name), width)}{before:>14}{now:>14}"
            f"{shift.distance:>10.3f}{shift.threshold:>11.2f}"
        )
