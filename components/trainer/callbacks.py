"""Keras callbacks: progress, history, and those the configuration asks for."""

from __future__ import annotations

import importlib.util
import json
import math
import time
from pathlib import Path
from typing import Any

import keras

from components import progress
from components.errors import ConfigError
from components.signatures import HISTORY_FILE
from components.trainer.config import EarlyStopping, TrainerConfig

_STAGE = "Trainer"


class ProgressReport(keras.callbacks.Callback):
    """Reports each step to `components.progress`.

    Args:
        epochs: the most epochs that training may take.
        steps_per_epoch: steps in each.
    """

    def __init__(self, epochs: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.epoch = 0
        self.last_auc = ""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._report(min(batch + 1, self.steps_per_epoch), logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if "val_macro_roc_auc" in logs:
            self.last_auc = f" val_macro_roc_auc {float(logs['val_macro_roc_auc']):.2f}"
        self._report(self.steps_per_epoch, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.epoch + 1 < self.epochs:
            total = self.epochs * self.steps_per_epoch
            detail = f"stopped early after epoch {self.epoch + 1}/{self.epochs}{self.last_auc}"
            progress.report(_STAGE, total, total, detail)

    def _report(self, step: int, logs: dict[str, Any]) -> None:
        loss = f" loss {float(logs['loss']):.2f}" if "loss" in logs else ""
        progress.report(
            _STAGE,
            self.epoch * self.steps_per_epoch + step,
            self.epochs * self.steps_per_epoch,
            f"epoch {self.epoch + 1}/{self.epochs}{loss}{self.last_auc}",
        )


class HistoryWriter(keras.callbacks.Callback):
    """Writes `history.json` after each epoch, and stops a training that has diverged.

    The file holds `epochs`, a list of objects with `epoch` (from 1), `learning_rate`,
    `seconds`, `loss`, each metric and their `val_` twins; `monitor`, the metric that chose the
    weights, or null; and `exported_epoch`, the epoch whose weights are exported.

    Args:
        folder: where to write.
        early_stopping: how the exported epoch is chosen; None exports the last.
    """

    def __init__(self, folder: Path, early_stopping: EarlyStopping | None) -> None:
        super().__init__()
        self.path = folder / HISTORY_FILE
        self.early_stopping = early_stopping
        self.epochs: list[dict[str, Any]] = []
        self.started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Appends an epoch.

        Raises:
            ConfigError: the loss is not finite.
        """
        values = {key: float(value) for key, value in (logs or {}).items()}
        if not all(math.isfinite(values.get(key, 0.0)) for key in ("loss", "val_loss")):
            raise ConfigError(
                f"Expected a finite loss. Received: loss {values.get('loss')}, val_loss "
                f"{values.get('val_loss')} in epoch {epoch + 1}. Lower the learning rate."
            )
        rate = float(self.model.optimizer.learning_rate)
        seconds = round(time.monotonic() - self.started, 3)
        row = {"epoch": epoch + 1, "learning_rate": rate, "seconds": seconds, **values}
        self.epochs.append(row)
        history = {
            "epochs": self.epochs,
            "monitor": self.early_stopping and self.early_stopping.monitor,
            "exported_epoch": self._exported_epoch(),
        }
        self.path.write_text(json.dumps(history, indent=2) + "\n", encoding="utf-8")

    def _exported_epoch(self) -> int:
        if self.early_stopping is None:
            return len(self.epochs)
        monitor = self.early_stopping.monitor
        best = min if self.early_stopping.mode == "min" else max
        return best(self.epochs, key=lambda row: row[monitor])["epoch"]


def make_callbacks(
    config: TrainerConfig, steps_per_epoch: int, folder: Path
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of a training; files go to `folder`, which exists."""
    callbacks: list[keras.callbacks.Callback] = [
        HistoryWriter(folder, config.early_stopping),
        ProgressReport(config.epochs, steps_per_epoch),
    ]
    if config.early_stopping:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor=config.early_stopping.monitor,
                mode=config.early_stopping.mode,
                patience=config.early_stopping.patience,
                restore_best_weights=True,
            )
        )
    if importlib.util.find_spec("tensorboard"):
        callbacks.append(keras.callbacks.TensorBoard(str(folder), write_graph=False))
    return callbacks
