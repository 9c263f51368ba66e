"""Checks of how metrics moved, or did not, over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components.contracts.diagnosis import Finding

_STILL = 1e-3
_EPOCHS = 2
_LARGEST_GAP = 0.1  # between the macro ROC AUC of train and of eval
_LARGEST_RISE = 0.01  # of the eval loss above its least, as a share
_RISES_FOR = 2  # epochs
_EPOCHS_TO_JUDGE = 4
_STILL_RISING = 0.01  # of macro ROC AUC, over the last quarter of the epochs
_WELL_FITTED = 0.65  # macro ROC AUC on train
_SMALL_GAP = 0.03


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


def check_fit(epochs: Sequence[Mapping[str, float]], planned: int) -> list[Finding]:
    """Finds a network that learns its covers by heart, too little, or that was not done learning.

    Args:
        epochs: the rows of `history.json`.
        planned: epochs of the whole training.
    """
    if len(epochs) < _EPOCHS:
        return []
    end = _check_end(epochs, planned)
    return [*_check_overfitting(epochs), *(end or _check_underfitting(epochs))]


def _check_overfitting(epochs: Sequence[Mapping[str, float]]) -> list[Finding]:
    losses = np.array([row["val_loss"] for row in epochs])
    least, last = int(losses.argmin()), epochs[-1]
    rise = float(losses[-1] / losses[least] - 1)
    gap = last["macro_roc_auc"] - last["val_macro_roc_auc"]
    if gap < _LARGEST_GAP or rise < _LARGEST_RISE or len(epochs) - 1 - least < _RISES_FOR:
        return []
    best = max(row["val_macro_roc_auc"] for row in epochs)
    return [
        Finding(
            "overfitting",
            "warning",
            f"Since epoch {least + 1} the loss on the eval split rises, from {losses[least]:.3f} "
            f"to {losses[-1]:.3f}, while it falls on train, from {epochs[least]['loss']:.3f} to "
            f"{last['loss']:.3f}. Macro ROC AUC is {last['macro_roc_auc']:.2f} on train and "
            f"{last['val_macro_roc_auc']:.2f} on eval (best {best:.2f}): the network "
            "learns its covers by heart, and its probabilities grow overconfident.",
            "More covers help most. Otherwise hold the network back: more Dropout, a smaller layer "
            "or more weight_decay in trainer.layers and trainer.optimizer; an augmentation; or "
            "stop where the loss is least: trainer.early_stopping: {monitor: val_loss}.",
            {
                "least_loss_epoch": least + 1,
                "least_val_loss": float(losses[least]),
                "last_val_loss": float(losses[-1]),
                "last_loss": last["loss"],
                "last_macro_roc_auc": last["macro_roc_auc"],
                "last_val_macro_roc_auc": last["val_macro_roc_auc"],
            },
        )
    ]


def _check_underfitting(epochs: Sequence[Mapping[str, float]]) -> list[Finding]:
    """Finds a network that cannot even rank the covers that it is trained on."""
    if len(epochs) < _EPOCHS_TO_JUDGE:
        return []
    areas = np.array([row["macro_roc_auc"] for row in epochs])
    best, last = int(areas.argmax()), epochs[-1]
    gap = float(areas[best] - epochs[best]["val_macro_roc_auc"])
    if areas[best] >= _WELL_FITTED or gap > _SMALL_GAP:
        return []
    return [
        Finding(
            "underfitting",
            "warning",
            f"After {len(epochs)} epochs macro ROC AUC is {areas[best]:.3f} even on train (best, "
            f"epoch {best + 1}; {epochs[best]['val_macro_roc_auc']:.3f} on eval), and the loss "
            f"there went from {epochs[0]['loss']:.3f} to {last['loss']:.3f}: the network does not "
            "tell the covers apart that it is trained on, so more of them would not help.",
            "Give it more to learn with: ImageNet-pretrained networks (--config covers), a larger "
            "network with BatchNormalization, another learning rate, or less augmentation and "
            "Dropout.",
            {
                "best_epoch": best + 1,
                "best_macro_roc_auc": float(areas[best]),
                "val_macro_roc_auc": epochs[best]["val_macro_roc_auc"],
                "first_loss": epochs[0]["loss"],
                "last_loss": last["loss"],
            },
        )
    ]


def _check_end(epochs: Sequence[Mapping[str, float]], planned: int) -> list[Finding]:
    """Finds a training that ended while its metric still rose."""
    if len(epochs) < max(planned, _EPOCHS_TO_JUDGE):
        return []
    areas = np.array([row["val_macro_roc_auc"] for row in epochs])
    quarter = max(_EPOCHS, len(areas) // 4)
    rise = float(areas[-quarter:].max() - areas[:-quarter].max())
    if rise < _STILL_RISING or areas[-2:].max() < areas.max():
        return []
    return [
        Finding(
            "training_ended_early",
            "warning",
            f"Macro ROC AUC on the eval split still rose when training ended: by {rise:.3f}, to "
            f"{areas.max():.3f}, in the last {quarter} of {len(areas)} epochs.",
            f"Train longer: trainer.epochs: {2 * len(areas)}. Early stopping ends it when nothing "
            "more is learnt.",
            {"epochs": len(areas), "rise": rise, "best_macro_roc_auc": float(areas.max())},
        )
    ]
