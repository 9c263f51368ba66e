"""Multi-label metrics of decisions, as Keras 3 metrics.

Labels and probabilities have shape (batch, genres); a genre is decided when its probability
is at or above the threshold. `sample_weight` has shape (batch,). Names and definitions are
those of scikit-learn; see also Tsoumakas, Katakis and Vlahavas, "Mining Multi-label Data" (2010).
Metrics of the ranking of probabilities, which need no threshold, are in `ranking_metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import keras
from keras import ops

Average = Literal["micro", "macro"]

_PACKAGE = "covers"
_registered = keras.saving.register_keras_serializable(package=_PACKAGE)


@_registered
def hamming_loss(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Returns each example's share of wrong labels, float32, shape (batch,)."""
    return ops.mean(_wrong(y_true, y_pred, threshold), axis=-1)


@_registered
def labelwise_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Returns each example's share of right labels, float32, shape (batch,)."""
    return 1.0 - hamming_loss(y_true, y_pred, threshold)


@_registered
def exact_match(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Returns 1 for each example whose labels are all right, else 0; float32, (batch,)."""
    return 1.0 - ops.max(_wrong(y_true, y_pred, threshold), axis=-1)


@_registered
def jaccard(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Returns |decided and true| / |decided or true| of each example; 1 where both are empty."""
    decided, given = _decided(y_pred, threshold), _given(y_true)
    both = ops.sum(_float(ops.logical_and(decided, given)), axis=-1)
    either = ops.sum(_float(ops.logical_or(decided, given)), axis=-1)
    return ops.where(either > 0, both / ops.maximum(either, 1.0), 1.0)


@_registered
def label_cardinality(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Returns the number of genres decided for each example, float32, shape (batch,)."""
    del y_true
    return ops.sum(_float(_decided(y_pred, threshold)), axis=-1)


@_registered
def no_genre(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Returns 1 for each example for which no genre is decided, else 0; float32, (batch,)."""
    return _float(ops.equal(label_cardinality(y_true, y_pred, threshold), 0.0))


class _ExampleMean(keras.metrics.MeanMetricWrapper):
    """The mean over examples of a function of their labels, probabilities and a threshold."""

    function: ClassVar[Callable[..., Any]]
    default_name: ClassVar[str]

    def __init__(self, threshold: float = 0.5, name: str | None = None, dtype: Any = None) -> None:
        function = type(self).function
        super().__init__(function, name=name or self.default_name, dtype=dtype, threshold=threshold)
        self.threshold = threshold

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "name": self.name, "dtype": self.dtype}


@_registered
class HammingLoss(_ExampleMean):
    """Share of wrong labels: 0 is perfect, 1 is worst.

    An all-zero prediction scores the label density, so a low value alone says little.

    Example:
    >>> metric = HammingLoss()
    >>> metric.update_state([[1.0, 0.0, 1.0]], [[0.9, 0.8, 0.1]])
    >>> round(float(metric.result()), 3)
    0.667
    """

    function = staticmethod(hamming_loss)
    default_name = "hamming_loss"


@_registered
class LabelwiseAccuracy(_ExampleMean):
    """Share of right labels (binary accuracy): 1 is perfect, 0 is worst.

    It is 1 - Hamming loss, whatever is predicted, and often mistaken for subset accuracy: see
    `ExactMatchRatio`. An all-zero prediction scores 1 - label density.
    """

    function = staticmethod(labelwise_accuracy)
    default_name = "labelwise_accuracy"


@_registered
class ExactMatchRatio(_ExampleMean):
    """Share of examples with every label right (subset accuracy): 1 is perfect, 0 is worst.

    Example:
    >>> metric = ExactMatchRatio()
    >>> metric.update_state([[1.0, 0.0], [1.0, 0.0]], [[0.9, 0.1], [0.9, 0.8]])
    >>> float(metric.result())
    0.5
    """

    function = staticmethod(exact_match)
    default_name = "exact_match_ratio"


@_registered
class Jaccard(_ExampleMean):
    """Overlap of decided and true genres, averaged over examples: 1 is perfect, 0 is worst.

    As `sklearn.metrics.jaccard_score(..., average="samples", zero_division=1)`.
    """

    function = staticmethod(jaccard)
    default_name = "jaccard"


@_registered
class LabelCardinality(_ExampleMean):
    """Genres decided per example, on average; compare with the labels' own cardinality."""

    function = staticmethod(label_cardinality)
    default_name = "label_cardinality"


@_registered
class NoGenreShare(_ExampleMean):
    """Share of examples for which no genre is decided."""

    function = staticmethod(no_genre)
    default_name = "no_genre_share"


class _CountMetric(keras.metrics.Metric):
    """Counts true and false positives and negatives per genre.

    Args:
        num_labels: number of genres.
        average: `macro` averages over genres, `micro` counts all genres together.
        threshold: a genre is decided at or above it.
        name: defaults to the average and the kind, such as `macro_f1`.
        dtype: of the counts.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        num_labels: int,
        average: Average = "macro",
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name or f"{average}_{self.kind}", dtype=dtype)
        self.num_labels = num_labels
        self.average = average
        self.threshold = threshold
        self.true_positives = self._counter("true_positives")
        self.false_positives = self._counter("false_positives")
        self.false_negatives = self._counter("false_negatives")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: labels and probabilities (batch, num_labels), weights (batch,)."""
        decided = ops.cast(_decided(y_pred, self.threshold), self.dtype)
        given = ops.cast(_given(y_true), self.dtype)
        weight = ops.ones_like(given)
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        self.true_positives.assign_add(ops.sum(weight * decided * given, axis=0))
        self.false_positives.assign_add(ops.sum(weight * decided * (1.0 - given), axis=0))
        self.false_negatives.assign_add(ops.sum(weight * (1.0 - decided) * given, axis=0))

    def result(self) -> Any:
        """Returns the average, a scalar in 0 to 1; what is undefined (0 / 0) counts as 0."""
        counts = (self.true_positives, self.false_positives, self.false_negatives)
        if self.average == "micro":
            return self._score(*(ops.sum(count) for count in counts))
        return ops.mean(self._score(*(ops.convert_to_tensor(count) for count in counts)))

    def get_config(self) -> dict[str, Any]:
        return {
            "num_labels": self.num_labels,
            "average": self.average,
            "threshold": self.threshold,
            "name": self.name,
            "dtype": self.dtype,
        }

    def _counter(self, name: str) -> Any:
        return self.add_variable((self.num_labels,), initializer="zeros", name=name)

    def _score(self, true_positives: Any, false_positives: Any, false_negatives: Any) -> Any:
        raise NotImplementedError


@_registered
class Precision(_CountMetric):
    """Share of the decided genres that are true."""

    kind = "precision"

    def _score(self, true_positives: Any, false_positives: Any, false_negatives: Any) -> Any:
        return _ratio(true_positives, true_positives + false_positives)


@_registered
class Recall(_CountMetric):
    """Share of the true genres that are decided."""

    kind = "recall"

    def _score(self, true_positives: Any, false_positives: Any, false_negatives: Any) -> Any:
        return _ratio(true_positives, true_positives + false_negatives)


@_registered
class F1(_CountMetric):
    """Harmonic mean of precision and recall; macro is the mean of the genres' own F1."""

    kind = "f1"

    def _score(self, true_positives: Any, false_positives: Any, false_negatives: Any) -> Any:
        twice = 2.0 * true_positives
        return _ratio(twice, twice + false_positives + false_negatives)


def _ratio(numerator: Any, denominator: Any) -> Any:
    # 0 where nothing was counted, as scikit-learn's zero_division=0. Weights may be fractions.
    return ops.where(denominator > 0, numerator / ops.where(denominator > 0, denominator, 1.0), 0.0)


def _wrong(y_true: Any, y_pred: Any, threshold: float) -> Any:
    return _float(ops.not_equal(_decided(y_pred, threshold), _given(y_true)))


def _decided(y_pred: Any, threshold: float) -> Any:
    return ops.greater_equal(ops.convert_to_tensor(y_pred), threshold)


def _given(y_true: Any) -> Any:
    return ops.greater_equal(ops.convert_to_tensor(y_true), 0.5)


def _float(values: Any) -> Any:
    return ops.cast(values, "float32")
