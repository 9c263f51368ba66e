"""Thresholds that hold on test are not mentioned; others are, with the genre and the numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.contracts.decision_counts import (
    DecisionCounts,
    count_decisions,
    read_counts,
    write_counts,
)
from components.report_gen.transfer import check_transfer
from components.support.errors import DeploymentError

GENRES = ("rock", "pop")


def counts(covers: int, share: float, rate: float, seed: int) -> DecisionCounts:
    """Covers of which each genre is true of `share`; rock is decided `rate` times as often."""
    random = np.random.default_rng(seed)
    labels = random.random((covers, 2)) < share
    scores = 0.6 * labels + random.random((covers, 2))
    cuts = [np.quantile(scores[:, 0], 1 - share * rate), np.quantile(scores[:, 1], 1 - share)]
    return count_decisions(labels, scores >= cuts)


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_that_hold_are_not_mentioned(seed: int) -> None:
    assert (
        check_transfer(GENRES, counts(400, 0.2, 1.0, seed), counts(800, 0.2, 1.0, 99 - seed)) == []
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_genre_that_is_decided_too_often_on_test_is_named(seed: int) -> None:
    (finding,) = check_transfer(GENRES, counts(400, 0.2, 1.0, seed), counts(800, 0.2, 2.0, seed))
    assert finding.code == "thresholds_do_not_transfer"
    assert finding.numbers["decided_per_true_rock"] == pytest.approx(2.0, abs=0.3)
    assert "rock is decided for" in finding.sentence and "pop" not in finding.sentence


def test_a_fall_of_f1_is_named() -> None:
    tuned_on = DecisionCounts(400, (80, 80), (80, 80), (64, 40))
    test = DecisionCounts(800, (160, 160), (160, 160), (64, 80))
    (finding,) = check_transfer(GENRES, tuned_on, test)
    assert "F1 of rock falls from 0.80 there to 0.40 on test" in finding.sentence
    assert set(finding.numbers) == {"f1_rock"}


def test_genres_without_covers_or_decisions_say_nothing() -> None:
    nothing = DecisionCounts(400, (0, 80), (80, 0), (0, 0))
    full = DecisionCounts(400, (80, 80), (80, 80), (80, 80))
    assert check_transfer(GENRES, nothing, full) == []
    assert check_transfer(GENRES, full, nothing) == []


def test_counts_survive_their_file(tmp_path: Path) -> None:
    assert read_counts(tmp_path) is None
    written = counts(50, 0.3, 1.0, 0)
    write_counts(tmp_path, written)
    assert read_counts(tmp_path) == written
    (tmp_path / "decision_counts.json").write_text('{"format_version": 1}')
    with pytest.raises(DeploymentError, match="decisions that thresholds were tuned on"):
        read_counts(tmp_path)
