"""Covers are never judged by a head that saw them, and the learning curve says when more help."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.contracts.out_of_fold import OutOfFold, read_out_of_fold, write_out_of_fold
from components.support.errors import DeploymentError
from components.trainer.diagnostics.cross_fit import SHARES, check_learning_curve, cross_fit

GENRES = ("rock", "pop")


def drawn(covers: int, width: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.normal(size=(covers, width)).astype(np.float32)
    scores = features @ random.normal(size=(width, 2)) / np.sqrt(width)
    labels = scores + noise * random.normal(size=scores.shape) > 0.8
    return features, labels.astype(np.float32)


def names(covers: int) -> list[str]:
    return [str(number) for number in range(covers)]


def test_what_is_learnt_easily_has_no_finding():
    features, labels = drawn(2000, 8, 0.3)
    fit = cross_fit(features, labels, names(2000))
    assert fit is not None and roc_auc_score(labels, fit.probabilities) > 0.9
    assert fit.probabilities.mean(axis=0) == pytest.approx(labels.mean(axis=0), abs=0.02)
    assert check_learning_curve(GENRES, fit) == []


def test_a_curve_that_still_rises_says_by_how_much():
    features, labels = drawn(1600, 300, 1.0)
    fit = cross_fit(features, labels, names(1600))
    assert fit is not None
    (finding,) = check_learning_curve(GENRES, fit)
    assert finding.code == "too_little_data"
    assert f"+{finding.numbers['gain']:.3f}" in finding.sentence
    more = cross_fit(*drawn(3200, 300, 1.0), names(3200))
    assert more is not None
    reached = float(more.areas[SHARES[-1]].mean() - fit.areas[SHARES[-1]].mean())
    assert finding.numbers["gain"] == pytest.approx(reached, abs=0.03)


def test_near_duplicates_are_in_one_fold():
    random = np.random.default_rng(0)
    features = np.repeat(random.normal(size=(300, 600)), 2, axis=0)
    labels = np.repeat((random.random((300, 2)) < 0.3).astype(np.float32), 2, axis=0)
    apart = cross_fit(features, labels, names(600))
    together = cross_fit(features, labels, [str(number // 2) for number in range(600)])
    assert apart is not None and together is not None
    assert roc_auc_score(labels, apart.probabilities) > 0.8, "a copy gives the label away"
    assert roc_auc_score(labels, together.probabilities) < 0.6


@pytest.mark.filterwarnings("error")
def test_few_covers_and_genres_of_one_class():
    features, labels = drawn(400, 8, 0.3)
    assert cross_fit(features[:100], labels[:100], names(100)) is None
    labels[:, 1] = 0.0
    fit = cross_fit(features, labels, names(400))
    assert fit is not None and np.isfinite(fit.probabilities).all()
    check_learning_curve(GENRES, fit)


def test_feature_maps_are_pooled():
    features, labels = drawn(300, 8, 0.3)
    maps = np.repeat(features[:, None, None, :], 3, axis=1)
    pooled, flat = cross_fit(maps, labels, names(300)), cross_fit(features, labels, names(300))
    assert pooled is not None and flat is not None
    np.testing.assert_allclose(pooled.probabilities, flat.probabilities, atol=1e-4)


def test_predictions_survive_their_file(tmp_path):
    assert read_out_of_fold(tmp_path) is None
    labels = np.array([[True, False]])
    write_out_of_fold(tmp_path, OutOfFold(("a",), ("ü/1.jpg",), labels, labels * 0.5))
    found = read_out_of_fold(tmp_path)
    assert found is not None and (found.ids, found.paths) == (("a",), ("ü/1.jpg",))
    np.testing.assert_array_equal(found.probabilities, [[0.5, 0.0]])
    (tmp_path / "out_of_fold.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(DeploymentError, match="out-of-fold predictions"):
        read_out_of_fold(tmp_path)
