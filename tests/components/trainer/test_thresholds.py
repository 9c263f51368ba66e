from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from components.trainer.config import TrainerConfig
from components.trainer.thresholds import best_f1_threshold, decision_thresholds


def test_fixed_threshold_is_repeated_per_genre():
    config = TrainerConfig(decision_thresholds=0.3)
    thresholds = decision_thresholds(config, np.zeros((4, 3)), np.zeros((4, 3)))
    np.testing.assert_array_equal(thresholds, np.full(3, 0.3, np.float32))


def test_by_hand_lies_halfway():
    labels = np.array([0, 0, 1, 1])
    assert best_f1_threshold(labels, np.array([0.1, 0.2, 0.4, 0.6])) == pytest.approx(0.3)


def test_no_other_threshold_has_a_higher_f1():
    random = np.random.default_rng(0)
    labels = random.random(300) < 0.25
    probabilities = (0.3 * labels + random.random(300)).astype(np.float32) / 1.3
    threshold = best_f1_threshold(labels, probabilities)
    best = max(f1_score(labels, probabilities >= score) for score in probabilities)
    assert f1_score(labels, probabilities >= threshold) == pytest.approx(best)


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        ([0, 0, 0], [0.1, 0.2, 0.3]),
        ([1, 1, 1], [0.1, 0.2, 0.3]),
        ([0, 1, 0], [0.2, 0.2, 0.2]),
        ([0, 1, 0], [0.1, np.nan, 0.3]),
    ],
)
def test_degenerate_genres_get_one_half(labels, probabilities):
    assert best_f1_threshold(np.array(labels), np.array(probabilities)) == 0.5


def test_tuned_per_genre():
    labels = np.array([[0, 0], [1, 0], [1, 0]], np.float32)
    probabilities = np.array([[0.1, 0.3], [0.7, 0.3], [0.9, 0.4]], np.float32)
    thresholds = decision_thresholds(
        TrainerConfig(decision_thresholds="best_f1"), labels, probabilities
    )
    assert thresholds.dtype == np.float32
    np.testing.assert_allclose(thresholds, [0.4, 0.5])
