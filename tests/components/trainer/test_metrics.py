from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from components.trainer.metrics import (
    F1,
    ExactMatchRatio,
    HammingLoss,
    Jaccard,
    LabelCardinality,
    LabelwiseAccuracy,
    NoGenreShare,
    Precision,
    Recall,
)
from components.trainer.ranking_metrics import MacroAveragePrecision, MacroRocAuc

GENRES = 4
DECISION_SCORES = {
    "hamming_loss": (HammingLoss, sklearn_metrics.hamming_loss),
    "labelwise_accuracy": (
        LabelwiseAccuracy,
        lambda y, d, **kw: 1 - sklearn_metrics.hamming_loss(y, d, **kw),
    ),
    "exact_match": (ExactMatchRatio, sklearn_metrics.accuracy_score),
    "jaccard": (
        Jaccard,
        lambda y, d, **kw: sklearn_metrics.jaccard_score(
            y, d, average="samples", zero_division=1, **kw
        ),
    ),
    **{
        f"{average}_{name}": (
            lambda make=make, average=average: make(GENRES, average),
            lambda y, d, score=score, average=average, **kw: score(
                y, d, average=average, zero_division=0, **kw
            ),
        )
        for average in ("micro", "macro")
        for name, make, score in (
            ("precision", Precision, sklearn_metrics.precision_score),
            ("recall", Recall, sklearn_metrics.recall_score),
            ("f1", F1, sklearn_metrics.f1_score),
        )
    },
}
RANKING_SCORES = {
    "roc_auc": (lambda: MacroRocAuc(GENRES), sklearn_metrics.roc_auc_score),
    "average_precision": (
        lambda: MacroAveragePrecision(GENRES),
        sklearn_metrics.average_precision_score,
    ),
}
METRICS = [make for make, _ in (*DECISION_SCORES.values(), *RANKING_SCORES.values())]
METRICS += [LabelCardinality, NoGenreShare]


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
    ("make", "perfect", "worst"),
    [
        (HammingLoss, 0, 1),
        (LabelwiseAccuracy, 1, 0),
        (ExactMatchRatio, 1, 0),
        (Jaccard, 1, 0),
        (lambda: Precision(GENRES, "micro"), 1, 0),
        (lambda: Precision(GENRES, "macro"), 1, 0),
        (lambda: Recall(GENRES, "micro"), 1, 0),
        (lambda: Recall(GENRES, "macro"), 1, 0),
        (lambda: F1(GENRES, "micro"), 1, 0),
        (lambda: F1(GENRES, "macro"), 1, 0),
        (lambda: MacroRocAuc(GENRES), 1, 0),
    ],
)
def test_perfect_and_worst(make, perfect, worst, labels):
    assert score(make(), labels, labels) == pytest.approx(perfect)
    assert score(make(), labels, 1 - labels) == pytest.approx(worst, abs=1e-6)


def test_average_precision_is_one_at_best_and_the_share_by_chance(labels):
    assert score(MacroAveragePrecision(GENRES), labels, labels) == pytest.approx(1.0)
    assert score(MacroAveragePrecision(GENRES), labels, 0 * labels) == pytest.approx(
        labels.mean(), abs=1e-6
    )


def test_by_hand():
    labels = [[1, 0, 1], [0, 1, 0]]
    probabilities = [[0.9, 0.5, 0.4], [0.2, 0.7, 0.1]]  # decided: 1 1 0, 0 1 0
    assert score(HammingLoss(), labels, probabilities) == pytest.approx(2 / 6)
    assert score(LabelwiseAccuracy(), labels, probabilities) == pytest.approx(4 / 6)
    assert score(ExactMatchRatio(), labels, probabilities) == pytest.approx(1 / 2)
    assert score(Jaccard(), labels, probabilities) == pytest.approx((1 / 3 + 1) / 2)
    assert score(LabelCardinality(), labels, probabilities) == pytest.approx(3 / 2)
    assert score(NoGenreShare(), labels, probabilities) == 0.0
    assert score(NoGenreShare(threshold=0.8), labels, probabilities) == pytest.approx(1 / 2)
    assert score(Precision(3, "micro"), labels, probabilities) == pytest.approx(2 / 3)
    assert score(Recall(3, "micro"), labels, probabilities) == pytest.approx(2 / 3)
    assert score(Precision(3, "macro"), labels, probabilities) == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert score(F1(3, "macro"), labels, probabilities) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert score(HammingLoss(threshold=0.35), labels, probabilities) == pytest.approx(1 / 6)


def test_a_probability_at_the_threshold_is_decided():
    assert score(ExactMatchRatio(threshold=0.5), [[1.0]], [[0.5]]) == 1.0


def test_an_all_zero_prediction_scores_the_label_density(labels):
    nothing = 0 * labels
    assert score(HammingLoss(), labels, nothing) == pytest.approx(labels.mean(), abs=1e-6)
    assert score(LabelwiseAccuracy(), labels, nothing) == pytest.approx(1 - labels.mean(), abs=1e-6)
    assert score(F1(GENRES), labels, nothing) == 0.0
    assert score(NoGenreShare(), labels, nothing) == 1.0


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
    assert original == pytest.approx(1 - score(HammingLoss(), labels, predictions), abs=1e-6)
    assert original == pytest.approx(score(LabelwiseAccuracy(), labels, predictions), abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [*DECISION_SCORES, *RANKING_SCORES])
def test_against_scikit_learn(name, weighted, labels, probabilities):
    make, expected = {**DECISION_SCORES, **RANKING_SCORES}[name]
    weights = np.random.default_rng(2).integers(0, 4, len(labels)).astype(np.float32)
    arguments = {"sample_weight": weights} if weighted else {}
    predictions = probabilities >= 0.5 if name in DECISION_SCORES else probabilities
    assert score(make(), labels, probabilities, **arguments) == pytest.approx(
        expected(labels, predictions, **arguments), abs=1e-3 if name in RANKING_SCORES else 1e-5
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


@pytest.mark.parametrize("make", METRICS)
def test_serialization(make, labels, probabilities):
    metric = make()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(copy) is type(metric)
    assert copy.get_config() == metric.get_config()
    assert score(copy, labels, probabilities) == score(metric, labels, probabilities)
