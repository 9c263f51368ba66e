"""Turns the files that TFMA wrote into the record of the evaluation and the gate's decision."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from components.contracts.checks import KINDS, Check, Status
from components.contracts.decisions import Decision, Refusal
from components.contracts.evaluation_record import (
    NO_VALUE,
    Evaluation,
    ModelMetrics,
    Values,
    is_remainder,
    or_none,
)
from components.contracts.label_schema import SLICE_PREFIX
from components.contracts.metrics import (
    CHANGE,
    EXAMPLE_COUNT,
    LOSS,
    OVERALL_METRICS,
    PER_GENRE_METRICS,
)
from components.contracts.nodes import EVALUATOR
from components.contracts.predictions import BASELINE
from components.evaluator.config import EvaluationConfig, GateConfig
from components.evaluator.gate import Rule, Support, judge, least_examples, rules
from components.evaluator.margins import MARGIN_SUFFIX, margin_name
from components.support.errors import CoversError

_FIRST_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(?=[ /-]|$)")


def read_results(folder: Path, genres: tuple[str, ...], config: EvaluationConfig) -> Evaluation:
    """Reads what TFMA wrote, and judges every threshold of the gate.

    Args:
        folder: where TFMA wrote.
        genres: genre names in the order of the model's outputs.
        config: what TFMA was configured from.

    Raises:
        CoversError: TFMA's verdict differs from that of the thresholds.
    """
    slices = list(tfma.load_metrics(str(folder)))
    candidate = _model_metrics(slices, genres, of_baseline=False)
    baseline = _model_metrics(slices, genres, of_baseline=True)
    compared = baseline if baseline.overall else None
    checks = _checks(config.gate, genres, candidate, compared)
    _check_verdict(folder, genres, checks)
    return Evaluation(
        overall=candidate.overall,
        per_genre=candidate.per_genre,
        slices=candidate.slices,
        genres=genres,
        confidence=config.intervals.confidence if config.intervals.resamples else None,
        blessed=all(check.status is not Status.FAILED for check in checks),
        checks=checks,
        confusion=_confusion(folder, len(genres)),
        baseline=compared,
    )


def decide(evaluation: Evaluation) -> Decision:
    """Returns the gate's decision on an evaluated model."""
    return Decision(
        gate=EVALUATOR,
        headline="The model was trained and evaluated, but refused",
        refusals=tuple(map(_refusal, evaluation.failures)),
        warnings=tuple(map(_refusal, evaluation.warnings)),
    )


def _model_metrics(
    slices: Sequence[metrics_for_slice_pb2.MetricsForSlice],
    genres: tuple[str, ...],
    *,
    of_baseline: bool,
) -> ModelMetrics:
    overall: Values = {}
    per_genre: dict[str, Values] = {genre: {} for genre in genres}
    by_slice: dict[str, dict[str, Values]] = {}
    for metrics_for_slice in slices:
        feature, value = _slice(metrics_for_slice.slice_key)
        for item in metrics_for_slice.metric_keys_and_values:
            key = item.key
            if key.is_diff or (key.model_name == BASELINE) != of_baseline:
                continue
            if key.name.endswith(MARGIN_SUFFIX) or not item.value.HasField("double_value"):
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
        feature: _ordered_values(values)
        if feature.startswith(SLICE_PREFIX)
        else dict(sorted(values.items(), key=lambda item: (places.get(item[0], 0), item[0])))
        for feature, values in sorted(by_slice.items())
    }
    return ModelMetrics(overall, per_genre, ordered)


def _ordered_values(slices: Mapping[str, Values]) -> dict[str, Values]:
    """Orders the slices of a column: by number or, if not all begin with one, by size."""
    matches = {name: _FIRST_NUMBER.match(name) for name in slices if not is_remainder(name)}
    numbers = {name: float(match[0]) for name, match in matches.items() if match}
    by_number = len(numbers) == len(matches)

    def place(name: str) -> tuple[bool, bool, float, str]:
        size = slices[name].get(EXAMPLE_COUNT, 0.0)
        number = numbers.get(name, 0.0) if by_number else -size
        return is_remainder(name), name == NO_VALUE, number, name

    return {name: slices[name] for name in sorted(slices, key=place)}


def _slice(slice_key: metrics_for_slice_pb2.SliceKey) -> tuple[str | None, str]:
    """Returns feature and value of a slice; no feature for the slice of all examples."""
    parts = list(slice_key.single_slice_keys)
    return (parts[0].column, parts[0].bytes_value.decode()) if parts else (None, "")


def _checks(
    gate: GateConfig,
    genres: tuple[str, ...],
    candidate: ModelMetrics,
    baseline: ModelMetrics | None,
) -> tuple[Check, ...]:
    """Returns every threshold of the gate with its status, overall ones first."""
    checks = [
        _check(rule, genre, candidate, baseline)
        for rule, per_genre in rules(gate)
        for genre in (genres if per_genre else (None,))
        if candidate.overall
    ]
    least, count = least_examples(gate), candidate.example_count
    if count < least:
        checks.append(Check(None, EXAMPLE_COUNT, "at least", bound=least, value=float(count)))
    names = [*OVERALL_METRICS, *PER_GENRE_METRICS]
    places = {None: -1} | {genre: place for place, genre in enumerate(genres)}
    return tuple(
        sorted(checks, key=lambda c: (places[c.genre], names.index(c.metric), KINDS.index(c.kind)))
    )


def _check(
    rule: Rule, genre: str | None, candidate: ModelMetrics, baseline: ModelMetrics | None
) -> Check:
    values, value = candidate.of(genre), candidate.of(genre).get(rule.metric, math.nan)
    support = None if genre is None else Support(*candidate.support(genre))
    before = None if baseline is None else baseline.of(genre).get(rule.metric, math.nan)
    compared = {} if before is None else {rule.metric + CHANGE: value - before}
    standing = judge(rule, {**values, **compared}, support)
    reason = None
    if math.isnan(value) or (support is not None and not support.is_known):
        value, reason = math.nan, _undefined_reason(candidate, genre)
    elif rule.kind == "change" and before is not None and math.isnan(before):
        reason = "the latter is undefined"
    return Check(
        genre=genre,
        metric=rule.metric,
        kind=rule.kind,
        bound=rule.bound,
        status=standing.status,
        value=or_none(value),
        baseline_value=None if before is None or rule.kind != "change" else or_none(before),
        allowed=None if standing.allowed is None else or_none(standing.allowed),
        positives=None if support is None else round(support.positives),
        negatives=None if support is None else round(support.negatives),
        min_support=rule.min_support,
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


def _check_verdict(folder: Path, genres: tuple[str, ...], checks: tuple[Check, ...]) -> None:
    """Raises unless TFMA, whose thresholds are the gate, refuses exactly the failed checks."""
    validation = tfma.load_validation_result(str(folder))
    refused = {
        (
            item.metric_key.name,
            item.metric_key.sub_key.class_id.value if item.metric_key.HasField("sub_key") else None,
        )
        for for_slice in validation.metric_validations_per_slice
        for item in for_slice.failures
    }
    failed = {
        (
            check.metric
            if check.metric == EXAMPLE_COUNT
            else margin_name(check.metric, check.kind),
            None if check.genre is None else genres.index(check.genre),
        )
        for check in checks
        if check.status is Status.FAILED
    }
    # Without examples there is no slice, and hence no failure, only a verdict.
    has_examples = any(for_slice.failures for for_slice in validation.metric_validations_per_slice)
    if validation.validation_ok == bool(failed) or (has_examples and refused != failed):
        raise CoversError(
            f"Expected TFMA to refuse the thresholds {sorted(map(str, failed))}. Received: "
            f"{sorted(map(str, refused))}. This is a bug in covers; please report it."
        )


def _refusal(check: Check) -> Refusal:
    level = "overall" if check.genre is None else "per_genre"
    option = {"at least": "at_least", "at most": "at_most", "change": "tolerance"}[check.kind]
    return Refusal(
        where=f"{check.genre or 'all genres'}: {check.metric}",
        what=check.sentence(),
        value=check.value,
        bound=check.bound,
        support=check.positives,
        remedy=f"The threshold is evaluation.gate.{level}.{check.metric}.{option}.",
    )


def _confusion(folder: Path, genre_count: int) -> tuple[tuple[int, ...], ...]:
    decided = [[0] * genre_count for _ in range(genre_count)]
    for plots in tfma.load_plots(str(folder)):
        if _slice(plots.slice_key)[0] is not None:
            continue
        for plot in plots.plot_keys_and_values:
            if plot.key.model_name == BASELINE:
                continue
            for matrix in plot.value.multi_label_confusion_matrix_at_thresholds.matrices:
                for entry in matrix.entries:
                    count = entry.true_positives + entry.false_positives
                    decided[entry.actual_class_id][entry.predicted_class_id] = round(count)
    return tuple(tuple(row) for row in decided)
