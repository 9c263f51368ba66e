"""Names of the metrics, and what is fixed about them."""

from __future__ import annotations

EXAMPLE_COUNT = "example_count"
LOSS = "loss"

PER_GENRE_METRICS = (
    "roc_auc",
    "average_precision",
    "precision",
    "recall",
    "f1",
    "brier_score",
    "calibration_error",
)
PER_GENRE_COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
OVERALL_METRICS = (
    EXAMPLE_COUNT,
    "macro_roc_auc",
    "micro_roc_auc",
    "macro_average_precision",
    "micro_average_precision",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "micro_precision",
    "micro_recall",
    "micro_f1",
    "hamming_loss",
    "jaccard",
    "exact_match_ratio",
    "macro_brier_score",
    "macro_calibration_error",
    LOSS,
)
LOWER_IS_BETTER = frozenset(
    {
        "hamming_loss",
        LOSS,
        "brier_score",
        "macro_brier_score",
        "calibration_error",
        "macro_calibration_error",
    }
)
"""The metrics in which a smaller value is a better one; of all others, a greater."""

CALIBRATION_BINS = 10
"""Bins of probability, equally wide, of calibration errors and calibration curves."""

CONFUSION_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Probabilities at which TFMA's `ConfusionMatrixAtThresholds` is computed for each genre."""
