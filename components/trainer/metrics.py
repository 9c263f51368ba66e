"""Multi-label metrics during training, as Keras 3 metrics.

Labels and probabilities have shape (batch, genres); a genre is decided when its probability
is at or above the threshold. Definitions are those of scikit-learn; see also Tsoumakas, Katakis
and Vlahavas, "Mining Multi-label Data" (2010). Metrics of the ranking of probabilities, which need
no threshold, are in `ranking_metrics`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from components.trainer.ranking_metrics import MacroAveragePrecision, MacroRocAuc


def training_metrics(num_genres: int, threshold: float) -> list[keras.metrics.Metric]:
    """Returns the metrics of every epoch.

    Macro ROC AUC and average precision, macro F1, Hamming loss (share of wrong labels), label-wise
    accuracy (binary accuracy, 1 - Hamming loss, often mistaken for subset accuracy), exact match
    ratio (subset accuracy: share of covers with every label right), label cardinality (genres
    decided for a cover on average) and the share of covers for which no genre is decided. An
    all-zero prediction has the label density as its Hamming loss, so a low one alone says little.

    Args:
        num_genres: number of genres.
        threshold: a genre is decided at or above it.
    """
    # Keras's two decide only above the threshold; we decide at it, too.
    below = float(np.nextafter(np.float32(threshold), np.float32(0)))
    by_example = (hamming_loss, exact_match_ratio, label_cardinality, no_genre_share)
    return [
        MacroRocAuc(num_genres),
        MacroAveragePrecision(num_genres),
        keras.metrics.F1Score(average="macro", threshold=below, name="macro_f1"),
        keras.metrics.BinaryAccuracy(threshold=below, name="labelwise_accuracy"),
        *(
            keras.metrics.MeanMetricWrapper(function, function.__name__, threshold=threshold)
            for function in by_example
        ),
    ]


def hamming_loss(y_true: Any, y_pred: Any, threshold: float) -> Any:
    """Returns each example's share of wrong labels, float32, shape (batch,)."""
    return ops.mean(_wrong(y_true, y_pred, threshold), axis=-1)


def exact_match_ratio(y_true: Any, y_pred: Any, threshold: float) -> Any:
    """Returns 1 for each example whose labels are all right, else 0; float32, (batch,)."""
    return 1.0 - ops.max(_wrong(y_true, y_pred, threshold), axis=-1)


def label_cardinality(y_true: Any, y_pred: Any, threshold: float) -> Any:
    """Returns the number of genres decided for each example, float32, shape (batch,)."""
    del y_true
    return ops.sum(_float(_decided(y_pred, threshold)), axis=-1)


def no_genre_share(y_true: Any, y_pred: Any, threshold: float) -> Any:
    """Returns 1 for each example for which no genre is decided, else 0; float32, (batch,)."""
    return _float(ops.equal(label_cardinality(y_true, y_pred, threshold), 0.0))


def _wrong(y_true: Any, y_pred: Any, threshold: float) -> Any:
    given = ops.greater_equal(ops.convert_to_tensor(y_true), 0.5)
    return _float(ops.not_equal(_decided(y_pred, threshold), given))


def _decided(y_pred: Any, threshold: float) -> Any:
    return ops.greater_equal(ops.convert_to_tensor(y_pred), threshold)


def _float(values: Any) -> Any:
    return ops.cast(values, "float32")
