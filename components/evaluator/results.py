"""Reads what TFX's Evaluator wrote: the metrics, by genre name, and the verdict."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from components.errors import ConfigError
from components.evaluator.config import (
    EXAMPLE_COUNT,
    LOSS,
    OVERALL_METRICS,
    PER_GENRE_METRICS,
)
from components.evaluator.failure import Failure
from components.evaluator.records import read_metrics, read_validation

EVAL_CONFIG_FILE = "eval_config.json"
BASELINE_MODEL = "baseline"
"""The name TFX's Evaluator gives to the model it compares with."""


@dataclasses.dataclass(frozen=True)
class ModelMetrics:
    """The metrics of one model by name; an undefined value is NaN.

    Attributes:
        overall: metrics of all genres together, on all examples.
        per_genre: metrics of each genre against the rest, on all examples.
        slices: `overall`, but on the examples that have the genre; a genre that no
            example has is absent.
    """

    overall: dict[str, float]
    per_genre: dict[str, dict[str, float]]
    slices: dict[str, dict[str, float]]

    @property
    def example_count(self) -> int:
        """The number of examples evaluated."""
        return int(self.overall.get(EXAMPLE_COUNT, 0))

    def to_dict(self) -> dict[str, Any]:
        """Returns the metrics ready for JSON: an undefined value is None."""
        return {
            "overall": _without_nan(self.overall),
            "per_genre": {key: _without_nan(value) for key, value in self.per_genre.items()},
            "slices": {key: _without_nan(value) for key, value in self.slices.items()},
        }


@dataclasses.dataclass(frozen=True)
class Evaluation(ModelMetrics):
    """The metrics of a trained model, those it was compared with, and the verdict.

    Attributes:
        genres: genre names in the order of the model's outputs.
        blessed: whether the model held every threshold.
        failures: the thresholds it did not hold, overall ones first.
        baseline: metrics of the latest pushed model; None if there was none.
    """

    genres: tuple[str, ...]
    blessed: bool
    failures: tuple[Failure, ...]
    baseline: ModelMetrics | None

    def to_dict(self) -> dict[str, Any]:
        """Returns everything ready for JSON; see `Failure.to_dict`."""
        return {
            "blessed": self.blessed,
            "failures": [failure.to_dict() for failure in self.failures],
            "example_count": self.example_count,
            "genres": list(self.genres),
            **super().to_dict(),
            "baseline": None if self.baseline is None else self.baseline.to_dict(),
        }


def read_evaluation(directory: Path | str) -> Evaluation:
    """Reads an evaluation, the directory of the Evaluator's `evaluation` artifact.

    Raises:
        ConfigError: the directory holds no evaluation of this project.
        CoversError: a file of it is not complete.
    """
    directory = Path(directory)
    genres = _read_genres(directory / EVAL_CONFIG_FILE)
    slices = read_metrics(directory)
    candidate = _model_metrics(slices, genres, baseline=False)
    baseline = _model_metrics(slices, genres, baseline=True)
    compared = baseline if baseline.overall else None
    validation = read_validation(directory)
    return Evaluation(
        overall=candidate.overall,
        per_genre=candidate.per_genre,
        slices=candidate.slices,
        genres=genres,
        blessed=validation is not None and validation.validation_ok,
        failures=_failures(validation, genres, candidate, compared),
        baseline=compared,
    )


def _read_genres(path: Path) -> tuple[str, ...]:
    """Returns the genres that the metrics of the configuration at `path` were made for."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["evalConfig"]
        for metrics_spec in config["metricsSpecs"]:
            for metric in metrics_spec["metrics"]:
                arguments = json.loads(metric.get("config") or "{}")
                if "genres" in arguments:
                    return tuple(arguments["genres"])
    except (OSError, ValueError, KeyError) as error:
        received = f"{type(error).__name__}: {error}"
    else:
        received = "metrics without genres"
    raise ConfigError(
        f"Expected the configuration of an evaluation at {path}. Received: {received}. "
        "Name the folder that the Evaluator wrote."
    )


def _model_metrics(slices: list[Any], genres: tuple[str, ...], *, baseline: bool) -> ModelMetrics:
    overall: dict[str, float] = {}
    per_genre: dict[str, dict[str, float]] = {genre: {} for genre in genres}
    by_slice: dict[str, dict[str, float]] = {}
    for metrics_for_slice in slices:
        name = _slice_name(metrics_for_slice.slice_key)
        for item in metrics_for_slice.metric_keys_and_values:
            key, value = item.key, item.value.double_value.value
            if key.is_diff or (key.model_name == BASELINE_MODEL) != baseline:
                continue
            if name is not None:
                if not key.HasField("sub_key"):
                    by_slice.setdefault(name, {})[key.name] = value
            elif key.HasField("sub_key"):
                per_genre[genres[key.sub_key.class_id.value]][key.name] = value
            else:
                overall[key.name] = value
    ordered = {genre: by_slice[genre] for genre in genres if genre in by_slice}
    return ModelMetrics(overall, per_genre, ordered)


def _slice_name(slice_key: Any) -> str | None:
    """Returns the genre of a slice; None for the slice of all examples."""
    parts = list(slice_key.single_slice_keys)
    return parts[0].bytes_value.decode() if parts else None


def _failures(
    validation: Any | None,
    genres: tuple[str, ...],
    candidate: ModelMetrics,
    baseline: ModelMetrics | None,
) -> tuple[Failure, ...]:
    if not candidate.overall:
        return (Failure(None, EXAMPLE_COUNT, "at least", bound=1.0, value=0.0),)
    if validation is None:
        return ()
    failures = [
        _failure(item, genres, candidate, baseline)
        for metrics_validation in validation.metric_validations_per_slice
        for item in metrics_validation.failures
    ]
    names = [*OVERALL_METRICS, *PER_GENRE_METRICS]
    places = {None: -1} | {genre: place for place, genre in enumerate(genres)}
    return tuple(sorted(failures, key=lambda f: (places[f.genre], names.index(f.metric), f.kind)))


def _failure(
    item: Any,
    genres: tuple[str, ...],
    candidate: ModelMetrics,
    baseline: ModelMetrics | None,
) -> Failure:
    key, threshold = item.metric_key, item.metric_threshold
    genre = genres[key.sub_key.class_id.value] if key.HasField("sub_key") else None
    value = _value_of(candidate, genre, key.name)
    reason = _undefined_reason(candidate, genre) if value is None else None
    if key.is_diff:
        before = None if baseline is None else _value_of(baseline, genre, key.name)
        if before is None and reason is None:
            reason = "the latter is undefined"
        tolerance = abs(threshold.change_threshold.absolute.value)
        return Failure(genre, key.name, "change", tolerance, value, before, reason)
    bounds = threshold.value_threshold
    lower, upper = bounds.lower_bound.value, bounds.upper_bound.value
    if bounds.HasField("lower_bound") and (value is None or value < lower):
        return Failure(genre, key.name, "at least", lower, value, reason=reason)
    return Failure(genre, key.name, "at most", upper, value, reason=reason)


def _value_of(metrics: ModelMetrics, genre: str | None, name: str) -> float | None:
    values = metrics.overall if genre is None else metrics.per_genre[genre]
    value = values.get(name, math.nan)
    return None if math.isnan(value) else value


def _undefined_reason(metrics: ModelMetrics, genre: str | None) -> str:
    if math.isnan(metrics.overall.get(LOSS, math.nan)):
        return "not all probabilities of the model are numbers"
    if genre is None:
        return "no genre has examples both with and without it"
    if genre not in metrics.slices:
        return "no example has this genre"
    return "every example has this genre"


def _without_nan(values: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}
