from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from components.contracts.metrics import (
    EXAMPLE_COUNT,
    METRICS,
    OVERALL_METRICS,
    PER_GENRE_COUNTS,
    PER_GENRE_METRICS,
    MetricValues,
    compute_metrics,
)
from components.contracts.scores import CALIBRATION_BINS, Scores, Table

SCORES = ("precision", "recall", "f1")


def compute(
    of_probabilities: bool, table: Table, weights: npt.ArrayLike | None = None
) -> MetricValues:
    """Returns the metrics of decisions, or of probabilities, for one set of weights."""
    weight = np.ones(len(table.true)) if weights is None else np.asarray(weights)
    values = compute_metrics(Scores(table, weight[np.newaxis, :]))
    return MetricValues(
        *(
            {
                name: value[0]
                for name, value in level.items()
                if METRICS[name].of_probabilities == of_probabilities
            }
            for level in values
        )
    )


def of_decisions(
    labels: npt.ArrayLike, decisions: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> MetricValues:
    return compute(False, Table.of(labels, np.zeros_like(labels), decisions), weights)


def of_probabilities(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> MetricValues:
    return compute(True, Table.of(labels, probabilities, np.zeros_like(labels)), weights)


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
    matrices = sk.multilabel_confusion_matrix(y, d, sample_weight=weights)
    cells = {
        "true_negatives": matrices[:, 0, 0],
        "false_positives": matrices[:, 0, 1],
        "false_negatives": matrices[:, 1, 0],
        "true_positives": matrices[:, 1, 1],
    }
    for name, expected in cells.items():
        np.testing.assert_allclose(values.per_genre[name], expected, atol=1e-9)
    expected_overall = {
        "hamming_loss": sk.hamming_loss(y, d, sample_weight=weights),
        "jaccard": sk.jaccard_score(
            y, d, average="samples", sample_weight=weights, zero_division=0
        ),
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
    values = of_probabilities(y, p, weights)

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
    scores = [sk.brier_score_loss(y[:, i], p[:, i], sample_weight=weights) for i in range(5)]
    np.testing.assert_allclose(values.per_genre["brier_score"], scores, atol=1e-12)
    assert values.overall["macro_brier_score"] == pytest.approx(np.mean(scores), abs=1e-12)


def test_the_calibration_error_is_the_distance_to_scikit_learns_curve(
    make_outputs: Callable[..., Any],
) -> None:
    outputs = make_outputs()
    values = of_probabilities(outputs.labels, outputs.probabilities)
    for i in range(5):
        y, p = outputs.labels[:, i], outputs.probabilities[:, i].astype(np.float64)
        share, mean = calibration_curve(y, p, n_bins=CALIBRATION_BINS)
        edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
        counts = np.bincount(np.searchsorted(edges[1:-1], p), minlength=CALIBRATION_BINS)
        expected = np.sum(np.abs(share - mean) * counts[counts > 0]) / len(y)
        assert values.per_genre["calibration_error"][i] == pytest.approx(expected, abs=1e-12)


def test_chance_adds_to_a_calibration_error_and_is_taken_out_of_the_debiased_square() -> None:
    random = np.random.default_rng(5)
    right = random.beta(1.5, 5.0, (400, 200))
    labels = random.random(right.shape) < right
    values = of_probabilities(labels, right)
    plain, debiased = (
        values.per_genre[name] for name in ("calibration_error", "debiased_calibration_error")
    )
    assert np.mean(plain) > 0.035, "each probability is right, and yet"
    assert np.mean(debiased == 0.0) > 0.4
    assert np.mean(debiased) < 0.02
    assert 0.04 < np.quantile(debiased, 0.95) < 0.07, "chance goes both ways"
    too_high = of_probabilities(labels, np.minimum(right + 0.1, 1.0))
    found = too_high.per_genre["debiased_calibration_error"]
    assert np.mean(found) == pytest.approx(0.1, abs=0.006)


def test_a_debiased_calibration_error_needs_a_bin_with_several_examples() -> None:
    probabilities = np.array([[0.95], [0.05], [0.85], [0.15]])
    values = of_probabilities(np.array([[0], [1], [0], [1]]), probabilities)
    assert values.per_genre["calibration_error"][0] == pytest.approx(0.9)
    assert np.isnan(values.per_genre["debiased_calibration_error"][0])


def test_the_debiased_calibration_error_is_that_of_its_paper(
    make_outputs: Callable[..., Any],
) -> None:
    outputs = make_outputs()
    values = of_probabilities(outputs.labels, outputs.probabilities)
    for i in range(5):
        y, p = outputs.labels[:, i], outputs.probabilities[:, i].astype(np.float64)
        bins = np.searchsorted(np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)[1:-1], p)
        squares = [
            ((p[at].mean() - y[at].mean()) ** 2 - y[at].var(ddof=1) / at.sum()) * at.mean()
            for at in (bins == each for each in np.unique(bins))
            if at.sum() > 1
        ]
        expected = max(0.0, sum(squares)) ** 0.5
        found = values.per_genre["debiased_calibration_error"][i]
        assert found == pytest.approx(expected, abs=1e-7)


def test_a_set_of_weights_is_as_good_as_repeated_examples(make_outputs: Callable[..., Any]) -> None:
    outputs = make_outputs()
    table = Table.of(outputs.labels, outputs.probabilities, outputs.decisions)
    counts = np.random.default_rng(1).poisson(1.0, (3, 200))
    weighted = compute_metrics(Scores(table, counts.astype(np.float64)))
    for row, repeats in enumerate(counts):
        drawn = np.repeat(np.arange(200), repeats)
        again = Table.of(
            outputs.labels[drawn], outputs.probabilities[drawn], outputs.decisions[drawn]
        )
        expected = compute_metrics(Scores(again, np.ones((1, len(drawn)))))
        for level in (0, 1):
            for name, values in weighted[level].items():
                np.testing.assert_allclose(values[row], expected[level][name][0], atol=1e-12)


def test_a_perfect_model_has_the_best_values() -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
    values = of_decisions(labels, labels)
    assert values.overall.pop("hamming_loss") == 0.0
    assert values.overall.pop("jaccard") == 0.75  # one cover has no genre to share
    assert set(values.overall.values()) == {1.0}
    values = of_probabilities(labels, labels)
    assert values.overall.pop("loss") == pytest.approx(0.0, abs=1e-6)
    errors = ("brier_score", "calibration_error", "debiased_calibration_error")
    for name in (f"macro_{error}" for error in errors):
        assert values.overall.pop(name) == 0.0
    assert set(values.overall.values()) == {1.0}


def test_an_inverted_model_has_the_worst_values() -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
    values = of_decisions(labels, 1.0 - labels)
    assert values.overall.pop("hamming_loss") == 1.0
    assert set(values.overall.values()) == {0.0}
    values = of_probabilities(labels, 1.0 - labels)
    assert values.overall["macro_roc_auc"] == values.overall["micro_roc_auc"] == 0.0
    assert values.overall["macro_brier_score"] == values.overall["macro_calibration_error"] == 1.0
    assert values.overall["macro_debiased_calibration_error"] == 1.0
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
        decided = of_decisions(np.zeros((0, 3)), np.zeros((0, 3)))
        ranked = of_probabilities(np.zeros((0, 3)), np.zeros((0, 3)))
    assert set(decided.overall.values()) == {0.0}
    assert np.isnan(ranked.overall["macro_roc_auc"])


def test_the_metrics_are_those_the_configuration_names() -> None:
    labels = np.eye(2)
    decided, ranked = of_decisions(labels, labels), of_probabilities(labels, labels)
    undefined = of_probabilities(labels, np.full((2, 2), np.nan))
    assert decided.overall.keys() | ranked.overall.keys() == set(OVERALL_METRICS) - {EXAMPLE_COUNT}
    assert decided.per_genre.keys() | ranked.per_genre.keys() == {
        *PER_GENRE_METRICS,
        *PER_GENRE_COUNTS,
    }
    assert undefined.overall.keys() == ranked.overall.keys()
    assert undefined.per_genre.keys() == ranked.per_genre.keys()
