"""Whether decision thresholds hold on the test split, which they were not tuned on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from components.contracts.decision_counts import DecisionCounts, count_decisions, read_counts
from components.contracts.diagnosis import Finding
from components.contracts.predictions import Predictions

_LARGEST_RATIO = 1.25
_LARGEST_DROP = 0.05
_STANDARD_ERRORS = 3.0
_DRAWS = 1000
_SEED = 0


def check_predictions_on_test(model_run: Path, predictions: Predictions) -> list[Finding]:
    """Compares what a training run noted as it tuned thresholds with predictions of the test split.

    Raises:
        DeploymentError: this project did not write what the training run noted.
    """
    tuned_on = read_counts(model_run)
    if tuned_on is None:
        return []
    test = count_decisions(predictions.labels, predictions.decisions)
    return check_transfer(predictions.genres, tuned_on, test)


def check_transfer(
    genres: Sequence[str], tuned_on: DecisionCounts, test: DecisionCounts
) -> list[Finding]:
    """Finds genres that are decided too often or too seldom on test, or worse, beyond chance.

    Args:
        genres: in the order of the counts.
        tuned_on: decisions on the covers that thresholds were tuned on.
        test: those on the test split.
    """
    numbers: dict[str, float] = {}
    words = []
    for place, genre in enumerate(genres):
        for name, value, sentence in _differences(genre, tuned_on, test, place):
            numbers[f"{name}_{genre}"] = value
            words.append(sentence)
    if not words:
        return []
    return [
        Finding(
            "thresholds_do_not_transfer",
            "warning",
            f"Thresholds tuned on {tuned_on.covers:,} covers do not hold on {test.covers:,} "
            f"test covers: {'; '.join(words)}. The differences are beyond chance, so new covers "
            "will be decided as those of test are.",
            "Tune on more covers: with frozen backbones, all but those of test (trainer.refit: "
            "true); or a larger share for eval, such as ingest.splits: {train: 0.6, eval: 0.2, "
            "test: 0.2}. If the splits are given, see that all hold covers of the same kind.",
            numbers,
        )
    ]


def _differences(
    genre: str, tuned_on: DecisionCounts, test: DecisionCounts, place: int
) -> Iterator[tuple[str, float, str]]:
    """Yields the name of what differs, its value on test, and a sentence."""
    known = [counts.true[place] and counts.decided[place] for counts in (tuned_on, test)]
    if not all(known):
        return
    before, after = (each.decided[place] / each.true[place] for each in (tuned_on, test))
    error = math.hypot(_log_ratio_error(tuned_on, place), _log_ratio_error(test, place))
    change = abs(math.log(after / before))
    if change >= math.log(_LARGEST_RATIO) and change > _STANDARD_ERRORS * error:
        yield (
            "decided_per_true",
            after,
            f"{genre} is decided for {before:.2f} times as many covers as have it on those, for "
            f"{after:.2f} times as many on test",
        )
    drawn = [_drawn_f1(each, place) for each in (tuned_on, test)]
    before, after = (_f1(each, place) for each in (tuned_on, test))
    error = math.hypot(*(float(each.std()) for each in drawn))
    if before - after >= _LARGEST_DROP and before - after > _STANDARD_ERRORS * error:
        yield "f1", after, f"F1 of {genre} falls from {before:.2f} there to {after:.2f} on test"


def _log_ratio_error(counts: DecisionCounts, place: int) -> float:
    """Returns the standard error of the logarithm of decided / true, by the delta method."""
    true, decided = counts.true[place], counts.decided[place]
    variance = 1 / true + 1 / decided - 2 * counts.rightly[place] / (true * decided)
    return math.sqrt(max(variance, 0.0))


def _f1(counts: DecisionCounts, place: int) -> float:
    return 2 * counts.rightly[place] / (counts.true[place] + counts.decided[place])


def _drawn_f1(counts: DecisionCounts, place: int) -> np.ndarray:
    """Returns F1 on other covers of the same kind, shape (draws,); one of each outcome is added."""
    rightly = counts.rightly[place]
    wrongly, missed = counts.decided[place] - rightly, counts.true[place] - rightly
    rest = counts.covers - rightly - wrongly - missed
    outcomes = np.array([rightly, wrongly, missed, rest]) + 1.0
    random = np.random.default_rng(_SEED)
    drawn = random.multinomial(counts.covers, outcomes / outcomes.sum(), _DRAWS)
    whole = 2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2]
    return np.asarray(2 * drawn[:, 0] / np.maximum(whole, 1))
