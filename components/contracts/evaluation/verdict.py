"""From TFMA's verdict to the checks of the gate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.contracts.evaluation.checks import Check, Status
from components.contracts.evaluation.gate import KINDS, allowed_change, has_support, is_too_few
from components.contracts.evaluation.model_metrics import ModelMetrics, or_none
from components.contracts.evaluation.names import (
    EXAMPLE_COUNT,
    LOSS,
    OVERALL_METRICS,
    PER_GENRE_METRICS,
)


def make_checks(
    arguments: Sequence[Mapping[str, Any]],
    validation: Any | None,
    genres: tuple[str, ...],
    candidate: ModelMetrics,
    baseline: ModelMetrics | None,
) -> tuple[Check, ...]:
    """Returns every threshold of the gate with its status, overall ones first.

    Args:
        arguments: the arguments of each metric of the evaluation's configuration.
        validation: TFMA's verdict; None if there were no examples.
        genres: genre names in the order of the model's outputs.
        candidate: the metrics of the model.
        baseline: those of the latest pushed model; None if there was none.
    """
    if not candidate.overall:
        return (Check(None, EXAMPLE_COUNT, "at least", bound=1.0, value=0.0),)
    failed = _failed(validation)
    checks = [
        _check(threshold, genre, failed, candidate, baseline, genres)
        for threshold in arguments
        if "bound" in threshold
        for genre in (genres if threshold["per_genre"] else (None,))
    ]
    if (EXAMPLE_COUNT, None) in failed:
        bound = failed[EXAMPLE_COUNT, None]
        count = float(candidate.example_count)
        checks.append(Check(None, EXAMPLE_COUNT, "at least", bound=bound, value=count))
    names = [*OVERALL_METRICS, *PER_GENRE_METRICS]
    places = {None: -1} | {genre: place for place, genre in enumerate(genres)}
    return tuple(
        sorted(checks, key=lambda c: (places[c.genre], names.index(c.metric), KINDS.index(c.kind)))
    )


def _failed(validation: Any | None) -> dict[tuple[str, int | None], float]:
    """Returns metric name and class id of what TFMA found below a bound -> that bound."""
    if validation is None:
        return {}
    return {
        (
            item.metric_key.name,
            item.metric_key.sub_key.class_id.value if item.metric_key.HasField("sub_key") else None,
        ): item.metric_threshold.value_threshold.lower_bound.value
        for for_slice in validation.metric_validations_per_slice
        for item in for_slice.failures
    }


def _check(
    threshold: Mapping[str, Any],
    genre: str | None,
    failed: Mapping[tuple[str, int | None], float],
    candidate: ModelMetrics,
    baseline: ModelMetrics | None,
    genres: tuple[str, ...],
) -> Check:
    metric, kind, bound = threshold["metric"], threshold["kind"], threshold["bound"]
    values = candidate.overall if genre is None else candidate.per_genre[genre]
    value = values.get(metric, math.nan)
    before = math.nan
    if baseline is not None:
        of_baseline = baseline.overall if genre is None else baseline.per_genre[genre]
        before = of_baseline.get(metric, math.nan)
    positives, negatives = (None, None) if genre is None else candidate.support(genre)
    reason = _undefined_reason(candidate, genre) if math.isnan(value) else None
    if positives is not None and negatives is not None and not has_support(positives, negatives):
        value, reason = math.nan, _undefined_reason(candidate, genre)
    is_failed = (threshold["name"], None if genre is None else genres.index(genre)) in failed
    status = Status.FAILED if is_failed else Status.HELD
    if positives is not None and negatives is not None:
        too_few = is_too_few(positives, negatives, threshold["min_support"])
        if too_few and status is Status.HELD:
            status = Status.NOT_DECIDED
    if status is Status.HELD and kind == "change" and baseline is None:
        status = Status.NOT_COMPARED
    allowed = None
    if kind == "change" and baseline is not None:
        ends = [values.get(f"{metric}_change_ci_{end}", math.nan) for end in ("low", "high")]
        allowed = allowed_change(metric, bound, value - before, *ends)
        if math.isnan(before) and reason is None:
            reason = "the latter is undefined"
    return Check(
        genre=genre,
        metric=metric,
        kind=kind,
        bound=bound,
        status=status,
        value=or_none(value),
        baseline_value=or_none(before) if kind == "change" else None,
        allowed=None if allowed is None else or_none(allowed),
        positives=positives,
        negatives=negatives,
        min_support=threshold["min_support"],
        reason=reason,
    )


def _undefined_reason(metrics: ModelMetrics, genre: str | None) -> str:
    if math.isnan(metrics.overall.get(LOSS, math.nan)):
        return "not all probabilities of the model are numbers"
    if genre is None:
        return "no genre has examples both with and without it"
    return (
        "no example has this genre"
        if metrics.support(genre)[0] == 0
        else "every example has this genre"
    )
