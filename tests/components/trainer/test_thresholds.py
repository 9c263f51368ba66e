from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from components.trainer.config import TrainerConfig
from components.trainer.thresholds import (
    DecisionRule,
    best_f1_threshold,
    decision_rule,
    label_share_threshold,
)


def test_fixed_threshold_is_repeated_per_genre():
    config = TrainerConfig(decision_thresholds=0.3)
    thresholds = decision_rule(config, np.zeros((4, 3)), np.zeros((4, 3))).thresholds
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
@pytest.mark.parametrize("find", [best_f1_threshold, label_share_threshold])
def test_degenerate_genres_get_one_half(find, labels, probabilities):
    assert find(np.array(labels), np.array(probabilities)) == 0.5


def test_label_share_decides_a_genre_as_often_as_it_is_given():
    random = np.random.default_rng(0)
    labels = random.random(300) < 0.25
    probabilities = (0.3 * labels + random.random(300)).astype(np.float32) / 1.3
    decided = probabilities >= label_share_threshold(labels, probabilities)
    assert decided.sum() == labels.sum()
    assert precision_score(labels, decided) == recall_score(labels, decided)


def test_at_least_one_genre_decides_the_one_closest_to_its_threshold():
    probabilities = np.array([[0.1, 0.3], [0.3, 0.45], [0.9, 0.9]], np.float32)
    thresholds = np.array([0.2, 0.5], np.float32)
    plain = DecisionRule(thresholds).decide(probabilities)
    np.testing.assert_array_equal(plain, [[0, 0], [1, 0], [1, 1]])
    rule = DecisionRule(thresholds, at_least_one_genre=True)
    np.testing.assert_array_equal(rule.decide(probabilities), [[1, 0], [1, 0], [1, 1]])


def test_tuned_per_genre():
    labels = np.array([[0, 0], [1, 0], [1, 0]], np.float32)
    probabilities = np.array([[0.1, 0.3], [0.7, 0.3], [0.9, 0.4]], np.float32)
    config = TrainerConfig(decision_thresholds="best_f1", at_least_one_genre=True)
    rule = decision_rule(config, labels, probabilities)
    thresholds = rule.thresholds
    assert rule.at_least_one_genre
    assert thresholds.dtype == np.float32
    np.testing.assert_allclose(thresholds, [0.4, 0.5])
