"""Multi-label metrics as Keras 3 metrics.

Labels and probabilities have shape (batch, genres); a genre is decided when its probability
is at or above the threshold. `sample_weight` has shape (batch,).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="covers")
def hamming_loss(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Returns each example's share of wrong labels, float32, shape (batch,)."""
    return ops.mean(_wrong(y_true, y_pred, threshold), axis=-1)


@keras.saving.register_keras_serializable(package="covers")
def exact_match(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Returns 1 for each example whose labels are all right, else 0; float32, (batch,)."""
    return 1.0 - ops.max(_wrong(y_true, y_pred, threshold), axis=-1)


def _wrong(y_true: Any, y_pred: Any, threshold: float) -> Any:
    decided = ops.greater_equal(ops.convert_to_tensor(y_pred), threshold)
    given = ops.greater_equal(ops.convert_to_tensor(y_true), 0.5)
    return ops.cast(ops.not_equal(decided, given), "float32")


@keras.saving.register_keras_serializable(package="covers")
class HammingLoss(keras.metrics.MeanMetricWrapper):
    """Share of wrong labels: 0 is perfect, 1 is worst.

    An all-zero prediction scores the label density, so a low value alone says little.

    Example:
    >>> metric = HammingLoss()
    >>> metric.update_state([[1.0, 0.0, 1.0]], [[0.9, 0.8, 0.1]])
    >>> round(float(metric.result()), 3)
    0.667
    """

    def __init__(
        self, threshold: float = 0.5, name: str = "hamming_loss", dtype: Any = None
    ) -> None:
        super().__init__(hamming_loss, name=name, dtype=dtype, threshold=threshold)
        self.threshold = threshold

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="covers")
class ExactMatchRatio(keras.metrics.MeanMetricWrapper):
    """Share of examples with every label right (subset accuracy): 1 is perfect, 0 is worst.

    Example:
    >>> metric = ExactMatchRatio()
    >>> metric.update_state([[1.0, 0.0], [1.0, 0.0]], [[0.9, 0.1], [0.9, 0.8]])
    >>> float(metric.result())
    0.5
    """

    def __init__(
        self, threshold: float = 0.5, name: str = "exact_match_ratio", dtype: Any = None
    ) -> None:
        super().__init__(exact_match, name=name, dtype=dtype, threshold=threshold)
        self.threshold = threshold

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="covers")
class MacroRocAuc(keras.metrics.Metric):
    """Area under the ROC curve of each genre, averaged over genres: needs no threshold.

    A genre's area is the chance that a cover of the genre gets a higher probability than one
    that is not of it; probabilities in the same bin count half. Early in training
    probabilities crowd around the genre's share, where the 200 thresholds of
    `keras.metrics.AUC` cannot tell covers apart; hence the many bins here.

    A genre with only positives or only negatives has no ROC curve and is left out of the
    average (`keras.metrics.AUC` would count it as 0). With no genre left the result is 0.5.

    Args:
        num_labels: number of genres.
        num_bins: equal-width bins of probability per genre.
    """

    def __init__(
        self,
        num_labels: int,
        num_bins: int = 10_000,
        name: str = "macro_roc_auc",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.num_labels = num_labels
        self.num_bins = num_bins
        shape = (num_labels, num_bins)
        self.positives = self.add_variable(shape, initializer="zeros", name="positives")
        self.negatives = self.add_variable(shape, initializer="zeros", name="negatives")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: labels and probabilities (batch, num_labels), weights (batch,)."""
        positive = ops.cast(ops.greater_equal(ops.convert_to_tensor(y_true), 0.5), self.dtype)
        weight = ops.ones_like(positive)
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        bins = ops.cast(ops.cast(y_pred, self.dtype) * self.num_bins, "int32")
        bins = ops.clip(bins, 0, self.num_bins - 1)
        bins = bins + ops.arange(self.num_labels, dtype="int32") * self.num_bins
        self.positives.assign_add(self._histogram(weight * positive, bins))
        self.negatives.assign_add(self._histogram(weight * (1.0 - positive), bins))

    def result(self) -> Any:
        """Returns the macro average, a scalar in 0 to 1."""
        positives = ops.sum(self.positives, axis=-1)
        negatives = ops.sum(self.negatives, axis=-1)
        below = ops.cumsum(self.negatives, axis=-1) - 0.5 * self.negatives
        below = below / ops.maximum(negatives, 1e-7)[:, None]
        areas = ops.sum(self.positives * below, axis=-1) / ops.maximum(positives, 1e-7)
        defined = ops.cast(ops.logical_and(positives > 0, negatives > 0), self.dtype)
        count = ops.sum(defined)
        mean = ops.sum(areas * defined) / ops.maximum(count, 1.0)
        return ops.where(count > 0, mean, 0.5)

    def get_config(self) -> dict[str, Any]:
        return {
            "num_labels": self.num_labels,
            "num_bins": self.num_bins,
            "name": self.name,
            "dtype": self.dtype,
        }

    def _histogram(self, weights: Any, bins: Any) -> Any:
        flat = ops.segment_sum(
            ops.reshape(weights, (-1,)),
            ops.reshape(bins, (-1,)),
            num_segments=self.num_labels * self.num_bins,
        )
        return ops.reshape(flat, (self.num_labels, self.num_bins))
