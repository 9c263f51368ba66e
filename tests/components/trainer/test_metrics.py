from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.trainer.metrics import ExactMatchRatio, HammingLoss, MacroRocAuc

GENRES = 4
METRICS = [HammingLoss, ExactMatchRatio, lambda: MacroRocAuc(GENRES)]


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.random.default_rng(0).random((200, GENRES)) < 0.3
    return labels.astype(np.float32)


@pytest.fixture
def probabilities(labels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).random(labels.shape)
    return (0.3 * labels + 0.7 * noise).astype(np.float32)


def score(metric: keras.metrics.Metric, labels, probabilities, sample_weight=None) -> float:
    metric.update_state(labels, probabilities, sample_weight=sample_weight)
    return float(metric.result())


@pytest.mark.parametrize(("make", "perfect"), list(zip(METRICS, [0.0, 1.0, 1.0], strict=True)))
def test_perfect_and_worst(make, perfect, labels):
    assert score(make(), labels, labels) == pytest.approx(perfect)
    assert score(make(), labels, 1 - labels) == pytest.approx(1 - perfect)


def test_by_hand():
    labels = [[1, 0, 1], [0, 1, 0]]
    probabilities = [[0.9, 0.5, 0.4], [0.2, 0.7, 0.1]]
    assert score(HammingLoss(), labels, probabilities) == pytest.approx(2 / 6)
    assert score(ExactMatchRatio(), labels, probabilities) == pytest.approx(1 / 2)
    assert score(HammingLoss(threshold=0.35), labels, probabilities) == pytest.approx(1 / 6)


def test_a_probability_at_the_threshold_is_decided():
    assert score(ExactMatchRatio(threshold=0.5), [[1.0]], [[0.5]]) == 1.0


def test_an_all_zero_prediction_scores_the_label_density(labels):
    assert score(HammingLoss(), labels, 0 * labels) == pytest.approx(labels.mean(), abs=1e-6)


def test_against_scikit_learn(labels, probabilities):
    decisions = probabilities >= 0.5
    assert score(HammingLoss(), labels, probabilities) == pytest.approx(
        sklearn_metrics.hamming_loss(labels, decisions)
    )
    assert score(ExactMatchRatio(), labels, probabilities) == pytest.approx(
        sklearn_metrics.accuracy_score(labels, decisions)
    )
    assert score(MacroRocAuc(GENRES), labels, probabilities) == pytest.approx(
        sklearn_metrics.roc_auc_score(labels, probabilities), abs=1e-4
    )


def test_sample_weights_against_scikit_learn(labels, probabilities):
    weights = np.random.default_rng(2).integers(0, 4, len(labels)).astype(np.float32)
    decisions = probabilities >= 0.5
    assert score(HammingLoss(), labels, probabilities, weights) == pytest.approx(
        sklearn_metrics.hamming_loss(labels, decisions, sample_weight=weights), abs=1e-5
    )
    assert score(ExactMatchRatio(), labels, probabilities, weights) == pytest.approx(
        sklearn_metrics.accuracy_score(labels, decisions, sample_weight=weights), abs=1e-5
    )
    assert score(MacroRocAuc(GENRES), labels, probabilities, weights) == pytest.approx(
        sklearn_metrics.roc_auc_score(labels, probabilities, sample_weight=weights), abs=1e-4
    )


@pytest.mark.parametrize("make", METRICS)
def test_batches_equal_whole_and_reset_forgets(make, labels, probabilities):
    whole = score(make(), labels, probabilities)
    metric = make()
    metric.update_state(1 - labels, probabilities)
    metric.reset_state()
    for start in range(0, len(labels), 33):
        batch = slice(start, start + 33)
        metric.update_state(labels[batch], probabilities[batch])
    assert float(metric.result()) == pytest.approx(whole, abs=1e-6)


def test_auc_resolves_probabilities_that_crowd_around_the_prior(labels, probabilities):
    crowded = (0.2 + 0.01 * probabilities).astype(np.float32)
    exact = sklearn_metrics.roc_auc_score(labels, probabilities)
    keras_auc = keras.metrics.AUC(multi_label=True, num_labels=GENRES)
    assert score(MacroRocAuc(GENRES), labels, crowded) == pytest.approx(exact, abs=5e-3)
    assert score(keras_auc, labels, crowded) != pytest.approx(exact, abs=5e-3)


def test_auc_leaves_out_a_genre_with_one_class(labels, probabilities):
    labels[:, 0], labels[:, 1] = 0.0, 1.0
    expected = sklearn_metrics.roc_auc_score(labels[:, 2:], probabilities[:, 2:])
    assert score(MacroRocAuc(GENRES), labels, probabilities) == pytest.approx(expected, abs=1e-4)


def test_auc_without_any_ranking_is_one_half(labels, probabilities):
    assert float(MacroRocAuc(GENRES).result()) == 0.5
    assert score(MacroRocAuc(GENRES), 0 * labels, probabilities) == 0.5
    assert score(MacroRocAuc(GENRES), labels, 0 * labels + 0.2) == pytest.approx(0.5)


@pytest.mark.parametrize("make", METRICS)
def test_serialization(make, labels, probabilities):
    metric = make()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(copy) is type(metric)
    assert copy.get_config() == metric.get_config()
    assert score(copy, labels, probabilities) == score(metric, labels, probabilities)
