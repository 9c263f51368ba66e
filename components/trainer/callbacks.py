"""Keras callbacks: progress, history, best and averaged weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from components.contracts.nodes import TRAINER
from components.support import progress
from components.trainer.dataset import Position
from components.trainer.optimization import learning_rate
from components.trainer.state import TrainingState
from components.trainer.worker_group import WorkerGroup


class ProgressReport(keras.callbacks.Callback):
    """Reports each step to `components.support.progress`.

    Args:
        state: the training's state.
        epochs: the most epochs that training may take.
        steps_per_epoch: steps in each.
    """

    def __init__(self, state: TrainingState, epochs: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.state = state
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        position = self.state.position
        loss = f" loss {float(logs['loss']):.2f}" if logs and "loss" in logs else ""
        progress.report(
            TRAINER,
            position.epoch * self.steps_per_epoch + position.step,
            self.epochs * self.steps_per_epoch,
            f"epoch {position.epoch + 1}/{self.epochs}{loss}{self._auc()}{self._resumed()}",
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        done, total = (epoch + 1) * self.steps_per_epoch, self.epochs * self.steps_per_epoch
        detail = f"epoch {epoch + 1}/{self.epochs}{self._auc()}{self._resumed()}"
        if self.state.is_over and epoch + 1 < self.epochs:
            done = total
            detail = f"stopped early after epoch {epoch + 1}/{self.epochs}{self._auc()}"
        progress.report(TRAINER, done, total, detail)

    def _resumed(self) -> str:
        resumed = self.state.resumed
        return f" (resumed in epoch {resumed[-1]})" if resumed else ""

    def _auc(self) -> str:
        for row in reversed(self.state.epochs):
            return f" val_macro_roc_auc {row['val_macro_roc_auc']:.2f}"
        return ""


class StateKeeper(keras.callbacks.Callback):
    """Keeps the training's state up to date, writes its history and stops it early.

    It comes before all callbacks that read the state.

    Args:
        state: the training's state.
        folder: where `history.json` goes.
    """

    def __init__(self, state: TrainingState, folder: Path) -> None:
        super().__init__()
        self.state = state
        self.folder = folder
        self.before = 0.0
        self.started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.before = self.state.seconds
        self.started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        position = self.state.position
        self.state.position = Position(position.epoch, position.step + 1)
        self.state.seconds = self.before + time.monotonic() - self.started

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Appends the epoch to the history.

        Raises:
            ConfigError: the loss is not finite.
        """
        self.state.seconds = self.before + time.monotonic() - self.started
        values = {key: float(value) for key, value in (logs or {}).items()}
        self.state.finish_epoch(values, learning_rate(self.model.optimizer))
        self.state.write_history(self.folder)
        if self.state.is_over:
            self.model.stop_training = True


class AveragedWeights(keras.callbacks.Callback):
    """Puts the optimizer's averaged weights into the model from validation to the epoch's end.

    The averages are then what is validated, kept as the best and exported, while training continues
    with the weights themselves. Comes after the callbacks that read the weights of an epoch and
    before the one that writes checkpoints. (`keras.callbacks.SwapEMAWeights` adds and subtracts
    the two, which rounds: not good enough to resume training exactly.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[np.ndarray] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._restore()  # `fit` leaves the averages in the model when it returns

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        variables = self.model.trainable_variables
        self.weights = [keras.ops.convert_to_numpy(variable) for variable in variables]
        self.model.optimizer.finalize_variable_values(variables)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._restore()

    def _restore(self) -> None:
        if self.weights:
            for variable, weight in zip(self.model.trainable_variables, self.weights, strict=True):
                variable.assign(weight)


class BestWeights(keras.callbacks.Callback):
    """Keeps the network's weights after the best epoch, in `TrainingState.best_weights`."""

    def __init__(self, state: TrainingState) -> None:
        super().__init__()
        self.state = state

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.state.best_epoch == epoch + 1:
            self.state.best_weights = self.model.network.get_weights()


class OwnRandomNumbers(keras.callbacks.Callback):
    """Lets each worker draw random numbers of its own from the first epoch on; after `Resume`."""

    def __init__(self, group: WorkerGroup) -> None:
        super().__init__()
        self.group: WorkerGroup | None = group

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.group:
            self.group.draw_apart(self.model)
            self.group = None
