"""Multi-label metrics of the ranking of probabilities, as Keras 3 metrics: no threshold needed."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

_TINY = 1e-7


class _RankingMetric(keras.metrics.Metric):
    """Counts each genre's positives and negatives by bins of probability.

    Early in training probabilities crowd around the genre's share, where the 200 thresholds of
    `keras.metrics.AUC` cannot tell covers apart; hence the many bins here. Covers in the same
    bin are tied.

    A genre for which the metric is undefined is left out of the average (`keras.metrics.AUC`
    would count it as 0).

    Args:
        num_labels: number of genres.
        num_bins: equal-width bins of probability per genre.
        name: name of the metric.
        dtype: of the counts.
    """

    default_name: ClassVar[str]

    def __init__(
        self, num_labels: int, num_bins: int = 10_000, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name or self.default_name, dtype=dtype)
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


@keras.saving.register_keras_serializable(package="covers")
class MacroRocAuc(_RankingMetric):
    """Area under the ROC curve of each genre, averaged over genres: 0.5 is chance.

    A genre's area is the chance that a cover of the genre gets a higher probability than one
    that is not of it; ties count half. With only positives or only negatives there is no
    curve; with no genre left the result is 0.5.
    """

    default_name = "macro_roc_auc"

    def result(self) -> Any:
        """Returns the macro average, a scalar in 0 to 1."""
        positives = ops.sum(self.positives, axis=-1)
        negatives = ops.sum(self.negatives, axis=-1)
        below = ops.cumsum(self.negatives, axis=-1) - 0.5 * self.negatives
        below = below / ops.maximum(negatives, _TINY)[:, None]
        areas = ops.sum(self.positives * below, axis=-1) / ops.maximum(positives, _TINY)
        defined = ops.cast(ops.logical_and(positives > 0, negatives > 0), self.dtype)
        count = ops.sum(defined)
        return ops.where(count > 0, ops.sum(areas * defined) / ops.maximum(count, 1.0), 0.5)


@keras.saving.register_keras_serializable(package="covers")
class MacroAveragePrecision(_RankingMetric):
    """Average precision of each genre, averaged over genres: the genre's share is chance.

    The sum of precisions at each probability, weighted by the gain in recall, without
    interpolation, as in scikit-learn. A genre without positives is left out; with no genre
    left the result is 0.
    """

    default_name = "macro_average_precision"

    def result(self) -> Any:
        """Returns the macro average, a scalar in 0 to 1."""
        total = ops.sum(self.positives, axis=-1)
        higher = ops.cumsum(ops.flip(self.positives, axis=-1), axis=-1)
        decided = higher + ops.cumsum(ops.flip(self.negatives, axis=-1), axis=-1)
        precision = higher / ops.maximum(decided, _TINY)
        areas = ops.sum(ops.flip(self.positives, axis=-1) * precision, axis=-1)
        areas = areas / ops.maximum(total, _TINY)
        defined = ops.cast(total > 0, self.dtype)
        return ops.sum(areas * defined) / ops.maximum(ops.sum(defined), 1.0)
