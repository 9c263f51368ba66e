"""How far training is: its position, history, best weights and findings; kept across a kill."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from components.contracts.diagnosis import Finding
from components.contracts.signatures import HISTORY_FILE
from components.support.errors import ConfigError
from components.trainer.config import EarlyStopping
from components.trainer.dataset import START, Position


@dataclasses.dataclass
class TrainingState:
    """Everything about a training run that is not a variable of the model or its optimizer.

    Attributes:
        early_stopping: how the best epoch is chosen; None takes the last.
        position: the batches that are done.
        epochs: one row per finished epoch: `epoch` (from 1), `learning_rate`, `seconds`,
            `loss`, each metric and their `val_` twins.
        seconds: how long the unfinished epoch has taken so far.
        resumed: the epochs (from 1) in which a killed training run resumed; the one after the last
            if none was left.
        best_weights: the network's weights after the best epoch; None before the first.
        findings: code -> what the diagnosis has found.
    """

    early_stopping: EarlyStopping | None
    position: Position = START
    epochs: list[dict[str, float]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    resumed: list[int] = dataclasses.field(default_factory=list)
    best_weights: list[np.ndarray] | None = None
    findings: dict[str, Finding] = dataclasses.field(default_factory=dict)

    @property
    def best_epoch(self) -> int:
        """The finished epoch, from 1, whose weights are exported; 0 before the first."""
        if not self.epochs or self.early_stopping is None:
            return len(self.epochs)
        monitor = self.early_stopping.monitor
        best = min if self.early_stopping.mode == "min" else max
        return int(best(self.epochs, key=lambda row: row[monitor])["epoch"])

    @property
    def is_over(self) -> bool:
        """Whether training stops early: no better epoch for as long as patience lasts."""
        if self.early_stopping is None:
            return False
        return len(self.epochs) - self.best_epoch >= self.early_stopping.patience

    def finish_epoch(self, values: dict[str, float], learning_rate: float) -> None:
        """Appends an epoch's row and moves to the next epoch.

        Raises:
            ConfigError: the loss is not finite.
        """
        epoch = self.position.epoch + 1
        if not all(math.isfinite(values.get(key, 0.0)) for key in ("loss", "val_loss")):
            raise ConfigError(
                f"Expected a finite loss. Received: loss {values.get('loss')}, val_loss "
                f"{values.get('val_loss')} in epoch {epoch}. Lower the learning rate."
            )
        seconds = round(self.seconds, 3)
        row = {"epoch": epoch, "learning_rate": learning_rate, "seconds": seconds, **values}
        self.epochs.append(row)
        self.seconds = 0.0
        self.position = Position(epoch, 0)

    def write_history(self, folder: Path) -> None:
        """Writes `history.json`: `epochs`, `monitor`, `exported_epoch` and `resumed_epochs`."""
        history = {
            "epochs": self.epochs,
            "monitor": self.early_stopping and self.early_stopping.monitor,
            "exported_epoch": self.best_epoch,
            "resumed_epochs": self.resumed,
        }
        text = json.dumps(history, indent=2)
        (folder / HISTORY_FILE).write_text(text + "\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Returns all but the weights, ready for JSON."""
        return {
            "position": dataclasses.asdict(self.position),
            "epochs": self.epochs,
            "seconds": self.seconds,
            "resumed": self.resumed,
            "findings": [finding.to_dict() for finding in self.findings.values()],
        }

    def restore(self, fields: dict[str, Any], best_weights: list[np.ndarray] | None) -> None:
        """Takes over what `to_dict` returned."""
        self.position = Position(**fields["position"])
        self.epochs = fields["epochs"]
        self.seconds = fields["seconds"]
        self.resumed = [*fields["resumed"], self.position.epoch + 1]
        self.best_weights = best_weights
        findings = (Finding(**each) for each in fields["findings"])
        self.findings = {finding.code: finding for finding in findings}
