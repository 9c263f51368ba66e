"""Kernel ridge regression: scikit-learn's, and the same as a layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge as Reference
from sklearn.metrics import roc_auc_score

from components.trainer.config import KernelRidge
from components.trainer.kernel_ridge import fit_kernel

COVERS, FEATURES, GENRES = 120, 40, 3


@pytest.fixture(scope="module")
def learnt() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    features = random.normal(size=(COVERS, FEATURES)).astype(np.float32)
    features *= random.uniform(0.1, 50.0, FEATURES).astype(np.float32)
    labels = (features[:, :GENRES] * features[:, GENRES : 2 * GENRES] > 0).astype(np.float32)
    return features, labels


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_with_all_components_and_covers_it_is_scikit_learns(learnt):
    features, labels = learnt
    config = KernelRidge(components=FEATURES, gamma=0.7, penalty=0.4)
    fitted = fit_kernel(features, labels, config)
    standardized = unit((features - features.mean(axis=0)) / features.std(axis=0))
    vectors = unit(standardized - standardized.mean(axis=0))
    reference = Reference(alpha=0.4, kernel="rbf", gamma=0.7)
    expected = reference.fit(vectors, labels - labels.mean(axis=0)).predict(vectors)
    np.testing.assert_allclose(fitted.scores(features), expected, atol=2e-3)


@pytest.mark.parametrize("config", [KernelRidge(), KernelRidge(components=5, centres=30, gamma=2)])
def test_the_layer_gives_the_same_scores(learnt, config):
    features, labels = learnt
    fitted = fit_kernel(features, labels, config)
    inputs = keras.Input((FEATURES,))
    network = keras.Model(inputs, fitted.layer()(inputs))
    asked = np.random.default_rng(1).normal(size=(700, FEATURES)).astype(np.float32)
    found = network.predict(asked, verbose=0)
    np.testing.assert_allclose(found, fitted.scores(asked), atol=1e-4)
    assert found.std() > 0.01


def test_a_part_of_the_covers_can_represent_all():
    random = np.random.default_rng(2)
    features = random.normal(size=(1_200, 6)).astype(np.float32)
    labels = (features[:, :1] * features[:, 1:2] > 0).astype(np.float32)
    fitted = fit_kernel(features[:800], labels[:800], KernelRidge(centres=80, penalty=0.1, gamma=2))
    assert fitted.centres.shape == (80, 6)
    assert roc_auc_score(labels[800:], fitted.scores(features[800:])) > 0.9
    few = fit_kernel(features[:80], labels[:80], KernelRidge(penalty=0.1, gamma=2))
    area = roc_auc_score(labels[800:], few.scores(features[800:]))
    assert area < roc_auc_score(labels[800:], fitted.scores(features[800:])) - 0.02


def test_features_that_never_change_and_covers_that_are_the_same_do_no_harm(learnt):
    features, labels = (np.concatenate([each, each]) for each in learnt)
    features[:, ::4] = 7.0
    fitted = fit_kernel(features, labels, KernelRidge(penalty=1e-3))
    other = features.copy()
    other[:, ::4] = 1e6
    np.testing.assert_allclose(fitted.scores(other), fitted.scores(features), atol=1e-5)
    assert np.isfinite(fitted.scores(np.zeros_like(features))).all()


@pytest.mark.parametrize("constant", [1e-4, 0.3, 7.1, 1000.3])
def test_rounding_makes_no_feature_of_one_that_never_changes(constant):
    random = np.random.default_rng(3)
    features = random.normal(size=(3_000, 8)).astype(np.float32)
    labels = (features[:, 1:3] > 0).astype(np.float32)
    features[:, ::4] = constant
    features[::2, ::4] *= np.float32(1.0 + 1e-7)
    fitted = fit_kernel(features, labels, KernelRidge(components=8, centres=100))
    other = features.copy()
    other[:, ::4] *= 1.01
    np.testing.assert_allclose(fitted.scores(other), fitted.scores(features), atol=1e-5)
