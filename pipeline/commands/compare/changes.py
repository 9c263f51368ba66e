"""Whether runs differ from the first one by more than chance, on the same test covers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from components.contracts.metrics import (
    CHANGE,
    CI_HIGH,
    CI_LOW,
    COMPARED,
    COMPARED_PER_GENRE,
    is_worse,
)
from components.contracts.predictions import Predictions, read_predictions
from components.contracts.scores import Table
from components.contracts.signatures import read_model_description
from components.evaluator.bootstrap import estimate
from components.evaluator.config import Intervals
from components.support.errors import CoversError
from pipeline.commands.compare.selection import ComparedRun

Judgement = Literal["better", "worse", "unsure"]


@dataclasses.dataclass(frozen=True)
class Change:
    """The change of a metric; None is undefined.

    Attributes:
        value: by how much the metric is greater than the first run's.
        low: the lower end of the interval of that.
        high: the upper end.
        judgement: better or worse if the whole interval is on one side of no change.
    """

    value: float | None
    low: float | None
    high: float | None
    judgement: Judgement


@dataclasses.dataclass(frozen=True)
class Changes:
    """A run against the first one.

    Attributes:
        overall: metric -> change.
        per_genre: genre -> metric -> change.
        impossible: why the runs cannot be compared; empty if they can.
    """

    overall: Mapping[str, Change] = dataclasses.field(default_factory=dict)
    per_genre: Mapping[str, Mapping[str, Change]] = dataclasses.field(default_factory=dict)
    impossible: str = ""


def changes_against_first(runs: Sequence[ComparedRun]) -> tuple[Intervals, list[Changes]]:
    """Returns how intervals were computed, and the changes of each run but the first.

    They are the paired differences of the Evaluator's bootstrap: all models are resampled on the
    same covers. Runs without predictions, or with other test covers, labels or genres, have
    none.
    """
    confidence = runs[0].metrics.confidence
    intervals = Intervals() if confidence is None else Intervals(confidence=confidence)
    first = _outputs(runs[0])
    if isinstance(first, str):
        return intervals, [Changes(impossible=f"of run 1, {first}") for _ in runs[1:]]
    tables = {0: _table(first, first.genres)}
    reasons = {}
    for place, run in enumerate(runs[1:], start=1):
        outputs = _outputs(run)
        reason = outputs if isinstance(outputs, str) else _difference(first, outputs)
        if reason or isinstance(outputs, str):
            reasons[place] = reason
        else:
            tables[place] = _table(outputs, first.genres)
    estimates = estimate(
        {str(place): table for place, table in tables.items()}, np.ones(len(first)), intervals, "0"
    )
    return intervals, [
        Changes(impossible=reasons[place])
        if place in reasons
        else _changes(first.genres, *estimates[str(place)])
        for place in range(1, len(runs))
    ]


def _outputs(run: ComparedRun) -> Predictions | str:
    """Returns the predictions for the test split, or why there are none."""
    from tensorflow import errors
    from tfx.utils import path_utils

    if run.predictions is None or run.model is None:
        return "the predictions for the test covers are not on this machine"
    try:
        description = read_model_description(path_utils.serving_model_path(str(run.model)))
        outputs = read_predictions(run.predictions, description)
    except (CoversError, errors.OpError, ValueError) as error:
        return f"the predictions in {run.predictions} cannot be read ({error})"
    if not len(outputs):
        return "there are no predictions, as there were no test covers"
    return outputs


def _difference(first: Predictions, other: Predictions) -> str:
    """Says why two models cannot be compared; empty if they can."""
    if set(first.genres) != set(other.genres):
        return "its genres differ from those of run 1"
    if first.ids != other.ids:
        shared = len(set(first.ids) & set(other.ids))
        return (
            f"its test covers differ from those of run 1: {shared:,} of its {len(other):,} and of "
            f"the {len(first):,} of run 1 are the same"
        )
    relabelled = np.any(first.labels != other.labels[:, _places(other, first.genres)], axis=1)
    if relabelled.any():
        return f"{relabelled.sum():,} of its {len(other):,} test covers have other genres in run 1"
    return ""


def _places(outputs: Predictions, genres: Sequence[str]) -> list[int]:
    return [outputs.genres.index(genre) for genre in genres]


def _table(outputs: Predictions, genres: Sequence[str]) -> Table:
    places = _places(outputs, genres)
    return Table(
        outputs.labels[:, places], outputs.probabilities[:, places], outputs.decisions[:, places]
    )


def _changes(
    genres: Sequence[str], overall: Mapping[str, Any], per_genre: Mapping[str, Any]
) -> Changes:
    return Changes(
        overall={name: _change(name, overall, ()) for name in COMPARED},
        per_genre={
            genre: {name: _change(name, per_genre, place) for name in COMPARED_PER_GENRE}
            for place, genre in enumerate(genres)
        },
    )


def _change(name: str, estimates: Mapping[str, Any], place: int | tuple[()]) -> Change:
    value, low, high = (
        _known(estimates[name + CHANGE + end][place]) for end in ("", CI_LOW, CI_HIGH)
    )
    if value is None or low is None or high is None or low <= 0.0 <= high:
        return Change(value, low, high, "unsure")
    return Change(value, low, high, "worse" if is_worse(name, value) else "better")


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
