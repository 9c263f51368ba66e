"""What the evaluation measures, and which values a model needs to be pushed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import Field, field_validator, model_validator

from components.contracts.metrics import (
    EXAMPLE_COUNT,
    METRICS,
    OVERALL_METRICS,
    PER_GENRE_METRICS,
)
from components.support.options import Options
from components.support.texts import first_few


class Threshold(Options):
    """Bounds on a metric.

    Attributes:
        at_least: smallest value allowed; None for no bound.
        at_most: greatest value allowed; None for no bound.
        tolerance: how much worse than the latest pushed model the value may be, as an
            absolute change; None for no comparison. What chance explains, by the confidence
            interval of the change, is allowed too. Ignored as long as no model was pushed.
    """

    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    tolerance: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_bounds(self) -> Threshold:
        if self.at_least is None and self.at_most is None and self.tolerance is None:
            raise ValueError(
                "Expected at_least, at_most or tolerance. Received: none of them. "
                "To set no threshold, leave the metric out."
            )
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(
                f"Expected at_least <= at_most. Received: at_least={self.at_least}, "
                f"at_most={self.at_most}."
            )
        return self


class GateConfig(Options):
    """The thresholds a model must meet, all of them, to be pushed.

    Attributes:
        min_support: a genre with fewer test covers that have it, or that do not, warns instead
            of deciding; one that every test cover has refuses, as nothing is known about it.
        overall: thresholds on metrics of all genres together, by metric name.
        per_genre: thresholds that each genre must meet by itself, by metric name.
    """

    min_support: int = Field(default=20, ge=1)
    overall: dict[str, Threshold] = Field(
        default_factory=lambda: {"macro_roc_auc": Threshold(at_least=0.55, tolerance=0.01)}
    )
    per_genre: dict[str, Threshold] = Field(
        default_factory=lambda: {"roc_auc": Threshold(at_least=0.5, tolerance=0.02)}
    )

    @field_validator("overall")
    @classmethod
    def _check_overall(cls, thresholds: dict[str, Threshold]) -> dict[str, Threshold]:
        _check_example_count(thresholds.get(EXAMPLE_COUNT))
        return _checked(thresholds, OVERALL_METRICS)

    @field_validator("per_genre")
    @classmethod
    def _check_per_genre(cls, thresholds: dict[str, Threshold]) -> dict[str, Threshold]:
        return _checked(thresholds, PER_GENRE_METRICS)


class Intervals(Options):
    """How confidence intervals are computed: by a Poisson bootstrap over examples.

    Attributes:
        confidence: the probability that an interval covers the true value.
        resamples: how often the examples are redrawn; 0 computes no intervals, and then
            comparisons allow for nothing but their tolerance.
    """

    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    resamples: int = Field(default=500, ge=0, le=100_000)


class SliceConfig(Options):
    """Which values of the slice columns, `ingest.slices`, are slices of their own.

    Attributes:
        most_values: greatest number of values, or intervals of numbers, of a column; the most
            frequent among the test covers are chosen.
        min_covers: a value of fewer test covers is counted among the other values.
    """

    most_values: int = Field(default=20, ge=1, le=200)
    min_covers: int = Field(default=10, ge=1)


class EvaluationConfig(Options):
    """Configuration of the evaluation.

    Attributes:
        slices: see `SliceConfig`.
        gate: the thresholds a model must meet to be pushed.
        intervals: confidence intervals of all metrics.
    """

    SECTION = "evaluation"

    slices: SliceConfig = Field(default_factory=SliceConfig)
    gate: GateConfig = Field(default_factory=GateConfig)
    intervals: Intervals = Field(default_factory=Intervals)


def _checked(thresholds: dict[str, Threshold], allowed: Iterable[str]) -> dict[str, Threshold]:
    _check_names(thresholds, allowed)
    for name, threshold in thresholds.items():
        if METRICS[name].is_fraction:
            _check_fraction(name, threshold)
    return thresholds


def _check_names(thresholds: Mapping[str, Threshold], allowed: Iterable[str]) -> None:
    unknown = [name for name in thresholds if name not in set(allowed)]
    if unknown:
        raise ValueError(
            f"Expected metric names from {', '.join(allowed)}. Received: {first_few(unknown)}."
        )


def _check_example_count(threshold: Threshold | None) -> None:
    if threshold is None:
        return
    if (threshold.at_least or 0.0) < 1.0 or threshold.tolerance is not None:
        raise ValueError(
            f"Expected {EXAMPLE_COUNT} to have an at_least of 1 or more and no tolerance, as both "
            f"models see the same examples. Received: {threshold}."
        )


def _check_fraction(name: str, threshold: Threshold) -> None:
    for bound in (threshold.at_least, threshold.at_most, threshold.tolerance):
        if bound is not None and not 0.0 <= bound <= 1.0:
            raise ValueError(f"Expected bounds on {name} between 0 and 1. Received: {bound}.")
