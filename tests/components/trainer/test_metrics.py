from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.trainer.metrics import training_metrics
from components.trainer.ranking_metrics import MacroAveragePrecision, MacroRocAuc

GENRES = 4
DECISION_SCORES = {
    "hamming_loss": sklearn_metrics.hamming_loss,
    "labelwise_accuracy": lambda y, d: 1 - sklearn_metrics.hamming_loss(y, d),
    "exact_match_ratio": sklearn_metrics.accuracy_score,
    "macro_f1": lambda y, d: sklearn_metrics.f1_score(y, d, average="macro", zero_division=0),
    "label_cardinality": lambda y, d: d.sum(axis=1).mean(),
    "no_genre_share": lambda y, d: 1 - d.any(axis=1).mean(),
}
RANKING_SCORES = {
    "macro_roc_auc": sklearn_metrics.roc_auc_score,
    "macro_average_precision": sklearn_metrics.average_precision_score,
}
SCORES = {**DECISION_SCORES, **RANKING_SCORES}


def make(name: str, threshold: float = 0.5, genres: int = GENRES) -> keras.metrics.Metric:
    """Returns the metric with this name in the history."""
    return next(each for each in training_metrics(genres, threshold) if each.name == name)


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


@pytest.mark.parametrize(
    ("name", "perfect", "worst"),
    [
        ("hamming_loss", 0, 1),
        ("labelwise_accuracy", 1, 0),
        ("exact_match_ratio", 1, 0),
        ("macro_f1", 1, 0),
        ("macro_roc_auc", 1, 0),
    ],
)
def test_perfect_and_worst(name, perfect, worst, labels):
    assert score(make(name), labels, labels) == pytest.approx(perfect)
    assert score(make(name), labels, 1 - labels) == pytest.approx(worst, abs=1e-6)


def test_average_precision_is_one_at_best_and_the_share_by_chance(labels):
    assert score(MacroAveragePrecision(GENRES), labels, labels) == pytest.approx(1.0)
    assert score(MacroAveragePrecision(GENRES), labels, 0 * labels) == pytest.approx(
        labels.mean(), abs=1e-6
    )


def test_by_hand():
    labels = [[1, 0, 1], [0, 1, 0]]
    probabilities = [[0.9, 0.5, 0.4], [0.2, 0.7, 0.1]]  # decided: 1 1 0, 0 1 0

    def value(name: str, threshold: float = 0.5) -> float:
        return score(make(name, threshold, 3), labels, probabilities)

    assert value("hamming_loss") == pytest.approx(2 / 6)
    assert value("labelwise_accuracy") == pytest.approx(4 / 6)
    assert value("exact_match_ratio") == pytest.approx(1 / 2)
    assert value("label_cardinality") == pytest.approx(3 / 2)
    assert value("no_genre_share") == 0.0
    assert value("no_genre_share", 0.8) == pytest.approx(1 / 2)
    assert value("macro_f1") == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert value("hamming_loss", 0.35) == pytest.approx(1 / 6)


@pytest.mark.parametrize("threshold", [0.5, 0.3, 1e-6])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exact_match_ratio", 1),
        ("hamming_loss", 0),
        ("labelwise_accuracy", 1),
        ("macro_f1", 1),
        ("label_cardinality", 2),
        ("no_genre_share", 0),
    ],
)
def test_a_probability_at_the_threshold_is_decided(name, expected, threshold):
    metric = make(name, threshold, 2)
    assert score(metric, [[1.0, 1.0]], np.full((1, 2), threshold, np.float32)) == pytest.approx(
        expected
    )


def test_an_all_zero_prediction_scores_the_label_density(labels):
    nothing = 0 * labels
    assert score(make("hamming_loss"), labels, nothing) == pytest.approx(labels.mean(), abs=1e-6)
    assert score(make("labelwise_accuracy"), labels, nothing) == pytest.approx(
        1 - labels.mean(), abs=1e-6
    )
    assert score(make("macro_f1"), labels, nothing) == 0.0
    assert score(make("no_genre_share"), labels, nothing) == 1.0


@pytest.mark.parametrize("predicted", ["all zero", "all one", "random", "perfect"])
def test_the_original_subset_accuracy_is_one_minus_hamming_loss(predicted, labels, probabilities):
    """`reduce_mean(..., axis=-1)` over the labels of an example is no subset accuracy."""
    predictions = {
        "all zero": 0 * labels,
        "all one": 0 * labels + 1,
        "random": probabilities,
        "perfect": labels,
    }[predicted]
    original = np.mean((predictions > 0.5) == labels, axis=-1).mean()
    assert original == pytest.approx(1 - score(make("hamming_loss"), labels, predictions), abs=1e-6)
    labelwise = score(make("labelwise_accuracy"), labels, predictions)
    assert original == pytest.approx(labelwise, abs=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_against_scikit_learn(name, labels, probabilities):
    predictions = probabilities >= 0.5 if name in DECISION_SCORES else probabilities
    assert score(make(name), labels, probabilities) == pytest.approx(
        SCORES[name](labels, predictions), abs=1e-3 if name in RANKING_SCORES else 1e-5
    )


@pytest.mark.parametrize("metric_class", [MacroRocAuc, MacroAveragePrecision])
def test_weights_of_covers_count(metric_class, labels, probabilities):
    weights = np.random.default_rng(2).integers(0, 4, len(labels)).astype(np.float32)
    metric = metric_class(GENRES)
    assert score(metric, labels, probabilities, sample_weight=weights) == pytest.approx(
        SCORES[metric.name](labels, probabilities, sample_weight=weights), abs=1e-3
    )


@pytest.mark.parametrize("name", SCORES)
def test_batches_equal_whole_and_reset_forgets(name, labels, probabilities):
    whole = score(make(name), labels, probabilities)
    metric = make(name)
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


def test_a_genre_with_one_class_is_left_out(labels, probabilities):
    labels[:, 0], labels[:, 1] = 0.0, 1.0
    expected = sklearn_metrics.roc_auc_score(labels[:, 2:], probabilities[:, 2:])
    assert score(MacroRocAuc(GENRES), labels, probabilities) == pytest.approx(expected, abs=1e-4)
    precisions = sklearn_metrics.average_precision_score(labels[:, 1:], probabilities[:, 1:])
    assert score(MacroAveragePrecision(GENRES), labels, probabilities) == pytest.approx(
        precisions, abs=1e-3
    )


def test_without_any_ranking(labels, probabilities):
    assert float(MacroRocAuc(GENRES).result()) == 0.5
    assert score(MacroRocAuc(GENRES), 0 * labels, probabilities) == 0.5
    assert score(MacroRocAuc(GENRES), labels, 0 * labels + 0.2) == pytest.approx(0.5)
    assert score(MacroAveragePrecision(GENRES), 0 * labels, probabilities) == 0.0


@pytest.mark.parametrize("metric_class", [MacroRocAuc, MacroAveragePrecision])
def test_serialization(metric_class, labels, probabilities):
    metric = metric_class(GENRES)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(copy) is type(metric)
    assert copy.get_config() == metric.get_config()
    assert score(copy, labels, probabilities) == score(metric, labels, probabilities)
