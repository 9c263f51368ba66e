from __future__ import annotations

import keras
import numpy as np
import pytest

from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from components.trainer.losses import AsymmetricLoss, PositiveWeighted, balanced_weights
from components.trainer.optimization import make_loss

LABELS = np.array([[1, 0, 1], [0, 0, 1]], np.float32)
PROBABILITIES = np.array([[0.9, 0.2, 0.4], [0.3, 0.01, 0.7]], np.float32)


def test_without_its_exponents_it_is_binary_cross_entropy():
    loss = AsymmetricLoss(gamma_negative=0.0, clip=0.0)(LABELS, PROBABILITIES)
    expected = keras.losses.BinaryCrossentropy()(LABELS, PROBABILITIES)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_by_hand_and_easy_negatives_cost_nothing():
    loss = AsymmetricLoss(gamma_negative=2.0, clip=0.05)

    def of(label: float, probability: float) -> float:
        return float(loss(np.float32([[label]]), np.float32([[probability]])))

    assert of(0.0, 0.04) == 0.0
    assert of(0.0, 0.45) == pytest.approx(-(0.4**2) * np.log(0.6), rel=1e-4)
    assert of(1.0, 0.5) == pytest.approx(np.log(2), rel=1e-4)


@pytest.mark.parametrize("gamma", [-1.0, 0.5])
def test_exponents_without_a_finite_gradient_are_refused(gamma):
    with pytest.raises(ConfigError, match="no finite gradient"):
        make_loss(
            TrainerConfig.model_validate({"loss": {"AsymmetricLoss": {"gamma_negative": gamma}}})
        )


def test_balanced_weights_make_both_answers_equally_dear():
    prior = np.array([0.2, 0.5, 0.1])
    weights = balanced_weights(prior)
    np.testing.assert_allclose(weights, [4, 1, 9])
    np.testing.assert_allclose(weights * prior, 1 - prior)


def test_positive_weights_by_hand():
    weighted = PositiveWeighted(keras.losses.binary_crossentropy, np.array([2.0, 3.0, 4.0]))
    terms = -(LABELS * np.log(PROBABILITIES) + (1 - LABELS) * np.log(1 - PROBABILITIES))
    expected = (terms * np.where(LABELS == 1, [2.0, 3.0, 4.0], 1.0)).mean()
    assert float(weighted(LABELS, PROBABILITIES)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "loss",
    [
        "binary_crossentropy",
        {"BinaryCrossentropy": {"label_smoothing": 0.1}},
        {"AsymmetricLoss": {}},
    ],
)
def test_losses_that_can_be_balanced(loss):
    config = TrainerConfig.model_validate({"loss": loss, "class_weights": "balanced"})
    made = make_loss(config, np.full(3, 0.2))
    assert isinstance(made, PositiveWeighted)
    assert np.isfinite(float(made(LABELS, PROBABILITIES)))


def test_a_loss_over_all_labels_at_once_cannot_be_balanced():
    config = TrainerConfig(loss="categorical_crossentropy", class_weights="balanced")
    with pytest.raises(ConfigError, match="treats each label by itself"):
        make_loss(config, np.full(3, 0.2))
