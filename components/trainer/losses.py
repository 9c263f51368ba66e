"""A loss for multi-label problems in which most labels are zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


class PositiveWeighted(keras.losses.Loss):
    """A loss over labels in which each genre's positives have a weight of their own.

    Args:
        loss: maps labels and probabilities (..., labels) to the mean over labels, such as
            binary cross-entropy and its kin.
        weights: float, shape (genres,): weight of a given label; others weigh 1.
    """

    def __init__(self, loss: Callable[[Any, Any], Any], weights: np.ndarray) -> None:
        super().__init__(name="positive_weighted")
        self.loss = loss
        self.weights = np.asarray(weights, np.float32)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Maps labels and probabilities (batch, genres) to losses (batch,)."""
        # One label at a time: the mean over an axis of one is that label's own loss.
        losses = self.loss(y_true[..., None], y_pred[..., None])
        return ops.mean(losses * (1.0 + y_true * (self.weights - 1.0)), axis=-1)


def balanced_weights(label_prior: np.ndarray) -> np.ndarray:
    """Returns how many times more frequent covers without each genre are than those with it.

    Args:
        label_prior: float, shape (genres,), strictly between 0 and 1.
    """
    return (1.0 - label_prior) / label_prior
