"""Checks of how metrics moved, or did not, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components.contracts.diagnosis import Finding

_STILL = 1e-3
_EPOCHS = 2


def check_history(epochs: Sequence[Mapping[str, float]]) -> list[Finding]:
    """Finds threshold metrics that stand still on the eval split, and tells what moved meanwhile.

    Args:
        epochs: the rows of `history.json`.
    """
    if len(epochs) < _EPOCHS:
        return []
    hamming = np.array([row["val_hamming_loss"] for row in epochs])
    exact = np.array([row["val_exact_match_ratio"] for row in epochs])
    if np.ptp(hamming) > _STILL or np.ptp(exact) > _STILL:
        return []
    first, last = epochs[0], epochs[-1]
    best = max(row["val_macro_roc_auc"] for row in epochs)
    return [
        Finding(
            "threshold_metrics_stand_still",
            "warning",
            f"Over {len(epochs)} epochs Hamming loss stayed at {hamming[-1]:.4f} and the exact "
            f"match ratio at {exact[-1]:.3f}, while the loss went from {first['loss']:.4f} to "
            f"{last['loss']:.4f} and macro ROC AUC, which needs no threshold, from "
            f"{first['val_macro_roc_auc']:.3f} to {last['val_macro_roc_auc']:.3f} "
            f"(best {best:.3f}).",
            "Judge progress by macro_roc_auc and macro_average_precision, and base early stopping "
            "on one of them: trainer.early_stopping: {monitor: val_macro_roc_auc}.",
            {
                "epochs": len(epochs),
                "hamming_loss": float(hamming[-1]),
                "exact_match_ratio": float(exact[-1]),
                "first_loss": first["loss"],
                "last_loss": last["loss"],
                "first_macro_roc_auc": first["val_macro_roc_auc"],
                "last_macro_roc_auc": last["val_macro_roc_auc"],
                "best_macro_roc_auc": best,
            },
        )
    ]
