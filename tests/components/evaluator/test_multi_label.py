from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sk

from components.evaluator.config import EXAMPLE_COUNT, OVERALL_METRICS, PER_GENRE_METRICS
from components.evaluator.multi_label import (
    DecisionCounts,
    MetricValues,
    decision_metrics,
    probability_metrics,
)

SCORES = ("precision", "recall", "f1")


def of_decisions(
    labels: npt.ArrayLike, decisions: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> MetricValues:
    labels, decisions = np.asarray(labels), np.asarray(decisions)
    weight = np.ones(len(labels)) if weights is None else np.asarray(weights)
    examples = map(DecisionCounts.of_example, labels, decisions, weight)
    return decision_metrics(
        functools.reduce(operator.add, examples, DecisionCounts.zeros(labels.shape[1]))
    )


def of_probabilities(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> MetricValues:
    return probability_metrics(labels, probabilities, np.ones(len(np.asarray(labels))))


@pytest.mark.parametrize("weighted", [False, True])
def test_decisions_equal_scikit_learn(make_outputs: Callable[..., Any], weighted: bool) -> None:
    outputs = make_outputs()
    weights = np.random.default_rng(3).random(200) if weighted else np.ones(200)
    y, d = outputs.labels, outputs.decisions
    values = of_decisions(y, d, weights)

    scores = functools.partial(
        sk.precision_recall_fscore_support, y, d, sample_weight=weights, zero_division=0
    )
    for name, expected in zip(SCORES, scores(average=None), strict=False):
        np.testing.assert_allclose(values.per_genre[name], expected, atol=1e-12)
    expected_overall = {
        "hamming_loss": sk.hamming_loss(y, d, sample_weight=weights),
        "exact_match_ratio": sk.accuracy_score(y, d, sample_weight=weights),
    }
    for average in ("macro", "micro"):
        for name, expected in zip(SCORES, scores(average=average), strict=False):
            expected_overall[f"{average}_{name}"] = expected
    assert values.overall == pytest.approx(expected_overall, abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_probabilities_equal_scikit_learn(make_outputs: Callable[..., Any], weighted: bool) -> None:
    outputs = make_outputs()
    weights = np.random.default_rng(3).random(200) if weighted else np.ones(200)
    y, p = outputs.labels, outputs.probabilities
    values = probability_metrics(y, p, weights)

    functions = {"roc_auc": sk.roc_auc_score, "average_precision": sk.average_precision_score}
    for name, function in functions.items():
        score = functools.partial(function, y, p, sample_weight=weights)
        np.testing.assert_allclose(values.per_genre[name], score(average=None), atol=1e-12)
        for average in ("macro", "micro"):
            expected = score(average=average)
            assert values.overall[f"{average}_{name}"] == pytest.approx(expected, abs=1e-12)
    clipped = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    losses = [sk.log_loss(y[:, i], clipped[:, i], sample_weight=weights) for i in range(5)]
    assert values.overall["loss"] == pytest.approx(np.mean(losses), abs=1e-12)


def test_a_perfect_model_has_the_best_values() -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
    values = of_decisions(labels, labels)
    assert values.overall.pop("hamming_loss") == 0.0
    assert set(values.overall.values()) == {1.0}
    values = of_probabilities(labels, labels)
    assert values.overall.pop("loss") == pytest.approx(0.0, abs=1e-6)
    assert set(values.overall.values()) == {1.0}


def test_an_inverted_model_has_the_worst_values() -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
    values = of_decisions(labels, 1.0 - labels)
    assert values.overall.pop("hamming_loss") == 1.0
    assert set(values.overall.values()) == {0.0}
    values = of_probabilities(labels, 1.0 - labels)
    assert values.overall["macro_roc_auc"] == values.overall["micro_roc_auc"] == 0.0
    assert values.overall["loss"] == pytest.approx(-np.log(1e-7))


def test_a_constant_model_ranks_like_guessing() -> None:
    labels = np.array([[1, 0], [0, 1], [0, 1], [0, 0]], np.float32)
    values = of_probabilities(labels, np.full((4, 2), 0.2))
    np.testing.assert_array_equal(values.per_genre["roc_auc"], [0.5, 0.5])
    np.testing.assert_array_equal(values.per_genre["average_precision"], [0.25, 0.5])


def test_scores_of_decisions_are_zero_where_nothing_is_decided_or_true() -> None:
    labels = np.array([[1, 0], [1, 0]])
    values = of_decisions(labels, np.zeros((2, 2)))
    for name in SCORES:
        np.testing.assert_array_equal(values.per_genre[name], [0.0, 0.0])
        assert values.overall[f"micro_{name}"] == values.overall[f"macro_{name}"] == 0.0


def test_ranking_is_undefined_without_both_classes_and_left_out_of_averages() -> None:
    labels = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 1]])
    probabilities = np.array([[0.1, 0.2, 0.9], [0.4, 0.3, 0.2], [0.3, 0.9, 0.8]])
    values = of_probabilities(labels, probabilities)
    np.testing.assert_array_equal(values.per_genre["roc_auc"], [np.nan, np.nan, 1.0])
    np.testing.assert_array_equal(values.per_genre["average_precision"], [np.nan, 1.0, 1.0])
    assert values.overall["macro_roc_auc"] == 1.0
    assert values.overall["macro_average_precision"] == 1.0


def test_macro_averages_are_undefined_if_no_genre_is_defined() -> None:
    values = of_probabilities(np.zeros((3, 2)), np.full((3, 2), 0.4))
    assert np.isnan(values.overall["macro_roc_auc"])
    assert np.isnan(values.overall["macro_average_precision"])
    assert np.isnan(values.overall["micro_roc_auc"])
    assert np.isfinite(values.overall["loss"])


def test_probabilities_that_are_no_numbers_leave_nothing_defined() -> None:
    probabilities = np.array([[0.1, 0.9], [np.nan, 0.2], [0.6, 0.7]])
    values = of_probabilities([[0, 1], [1, 0], [1, 1]], probabilities)
    assert np.isnan(list(values.overall.values())).all()
    assert np.isnan(list(values.per_genre.values())).all()


def test_no_examples_give_zeros_and_undefined_values_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decided = decision_metrics(DecisionCounts.zeros(3))
        ranked = probability_metrics(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    assert set(decided.overall.values()) == {0.0}
    assert np.isnan(ranked.overall["macro_roc_auc"])


def test_the_metrics_are_those_the_configuration_names() -> None:
    labels = np.eye(2)
    decided, ranked = of_decisions(labels, labels), of_probabilities(labels, labels)
    undefined = of_probabilities(labels, np.full((2, 2), np.nan))
    assert decided.overall.keys() | ranked.overall.keys() == set(OVERALL_METRICS) - {EXAMPLE_COUNT}
    assert decided.per_genre.keys() | ranked.per_genre.keys() == set(PER_GENRE_METRICS)
    assert undefined.overall.keys() == ranked.overall.keys()
    assert undefined.per_genre.keys() == ranked.per_genre.keys()
