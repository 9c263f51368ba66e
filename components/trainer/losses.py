"""Losses for multi-label problems in which most labels are zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

_PACKAGE = "covers"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class AsymmetricLoss(keras.losses.Loss):
    """Binary cross-entropy that gives less weight to easy negatives.

    Ridnik et al., "Asymmetric Loss for Multi-Label Classification" (2021): probabilities of
    negatives are shifted down by `clip`, and easy labels fade with the exponents. With all
    three at 0 it is binary cross-entropy.

    Args:
        gamma_positive: exponent for labels that are given.
        gamma_negative: exponent for labels that are not.
        clip: probability below which a label that is not given costs nothing.
        label_smoothing: moves labels this far towards 0.5.
        reduction: see `keras.losses.Loss`.
        name: name of the loss.
    """

    def __init__(
        self,
        gamma_positive: float = 0.0,
        gamma_negative: float = 2.0,
        clip: float = 0.05,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "asymmetric_loss",
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        if not all(gamma == 0.0 or gamma >= 1.0 for gamma in (gamma_positive, gamma_negative)):
            raise ValueError(
                "Expected exponents that are 0, or at least 1: others have no finite gradient. "
                f"Received: gamma_positive={gamma_positive}, gamma_negative={gamma_negative}"
            )
        self.gamma_positive = gamma_positive
        self.gamma_negative = gamma_negative
        self.clip = clip
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Maps labels and probabilities (batch, genres) to losses (batch,)."""
        tiny = keras.config.epsilon()
        labels = y_true * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        positive = ops.clip(y_pred, tiny, 1.0 - tiny)
        shifted = ops.clip(y_pred - self.clip, 0.0, 1.0 - tiny)
        gained = labels * (1.0 - positive) ** self.gamma_positive * ops.log(positive)
        # The gradient of 0 ** 0 is not a number.
        fade = shifted**self.gamma_negative if self.gamma_negative else 1.0
        lost = (1.0 - labels) * fade * ops.log(1.0 - shifted)
        return -ops.mean(gained + lost, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gamma_positive": self.gamma_positive,
            "gamma_negative": self.gamma_negative,
            "clip": self.clip,
            "label_smoothing": self.label_smoothing,
        }


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
