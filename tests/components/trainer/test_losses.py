from __future__ import annotations

import keras
import numpy as np
import pytest

from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from components.trainer.losses import PositiveWeighted, balanced_weights
from components.trainer.optimization import make_loss

LABELS = np.array([[1, 0, 1], [0, 0, 1]], np.float32)
PROBABILITIES = np.array([[0.9, 0.2, 0.4], [0.3, 0.01, 0.7]], np.float32)


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
        {"BinaryFocalCrossentropy": {}},
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
