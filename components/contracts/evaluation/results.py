"""Reads what TFX's Evaluator wrote: the metrics, by genre name, and the verdict."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from components.contracts.evaluation.checks import Check, Status
from components.contracts.evaluation.model_metrics import ModelMetrics, Values
from components.contracts.evaluation.records import read_metrics, read_plots, read_validation
from components.contracts.evaluation.verdict import make_checks
from components.support.errors import ConfigError

EVAL_CONFIG_FILE = "eval_config.json"
BASELINE_MODEL = "baseline"
"""The name TFX's Evaluator gives to the model it compares with."""

_MARGIN = "_margin"


@dataclasses.dataclass(frozen=True)
class Evaluation(ModelMetrics):
    """The metrics of a trained model, those it was compared with, and the verdict.

    Attributes:
        genres: genre names in the order of the model's outputs.
        confidence: the confidence of the intervals; None if there are none.
        blessed: whether the model held every threshold.
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
        """The thresholds that the model did not hold."""
        return tuple(check for check in self.checks if check.status is Status.FAILED)

    @property
    def warnings(self) -> tuple[Check, ...]:
        """One check for each genre and metric that has too few examples to decide."""
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


def read_evaluation(directory: Path | str) -> Evaluation:
    """Reads an evaluation, the directory of the Evaluator's `evaluation` artifact.

    Raises:
        ConfigError: the directory holds no evaluation of this project.
        CoversError: a file of it is not complete.
    """
    directory = Path(directory)
    arguments = _read_arguments(directory / EVAL_CONFIG_FILE)
    described = next(each for each in arguments if "genres" in each)
    genres, intervals = tuple(described["genres"]), described["intervals"]
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
        confidence=intervals["confidence"] if intervals["resamples"] else None,
        blessed=validation is not None and validation.validation_ok,
        checks=make_checks(arguments, validation, genres, candidate, compared),
        confusion=_confusion(directory, len(genres)),
        baseline=compared,
    )


def _read_arguments(path: Path) -> list[dict[str, Any]]:
    """Returns the arguments of each metric in the configuration at `path`."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["evalConfig"]
        arguments = [
            {**json.loads(metric.get("config") or "{}"), "per_genre": "binarize" in spec}
            for spec in config["metricsSpecs"]
            for metric in spec["metrics"]
        ]
        if any({"genres", "intervals"} <= each.keys() for each in arguments):
            return arguments
        received = "metrics without genres and intervals"
    except (OSError, ValueError, KeyError) as error:
        received = f"{type(error).__name__}: {error}"
    raise ConfigError(
        f"Expected the configuration of an evaluation at {path}. Received: {received}. "
        "Name the folder that the Evaluator wrote."
    )


def _model_metrics(slices: list[Any], genres: tuple[str, ...], *, baseline: bool) -> ModelMetrics:
    overall: Values = {}
    per_genre: dict[str, Values] = {genre: {} for genre in genres}
    by_slice: dict[str, dict[str, Values]] = {}
    for metrics_for_slice in slices:
        feature, value = _slice(metrics_for_slice.slice_key)
        for item in metrics_for_slice.metric_keys_and_values:
            key = item.key
            if key.is_diff or (key.model_name == BASELINE_MODEL) != baseline:
                continue
            if key.name.endswith(_MARGIN) or not item.value.HasField("double_value"):
                continue
            number = item.value.double_value.value
            if feature is not None:
                if not key.HasField("sub_key"):
                    by_slice.setdefault(feature, {}).setdefault(value, {})[key.name] = number
            elif key.HasField("sub_key"):
                per_genre[genres[key.sub_key.class_id.value]][key.name] = number
            else:
                overall[key.name] = number
    places = {genre: place for place, genre in enumerate(genres)}
    ordered = {
        feature: dict(sorted(values.items(), key=lambda item: (places.get(item[0], 0), item[0])))
        for feature, values in by_slice.items()
    }
    return ModelMetrics(overall, per_genre, ordered)


def _slice(slice_key: Any) -> tuple[str | None, str]:
    """Returns feature and value of a slice; no feature for the slice of all examples."""
    parts = list(slice_key.single_slice_keys)
    return (parts[0].column, parts[0].bytes_value.decode()) if parts else (None, "")


def _confusion(directory: Path, genre_count: int) -> tuple[tuple[int, ...], ...]:
    decided = [[0] * genre_count for _ in range(genre_count)]
    for plots in read_plots(directory):
        if _slice(plots.slice_key)[0] is not None:
            continue
        for plot in plots.plot_keys_and_values:
            if plot.key.model_name == BASELINE_MODEL:
                continue
            for matrix in plot.value.multi_label_confusion_matrix_at_thresholds.matrices:
                for entry in matrix.entries:
                    count = entry.true_positives + entry.false_positives
                    decided[entry.actual_class_id][entry.predicted_class_id] = round(count)
    return tuple(tuple(row) for row in decided)
