"""Checkpoints from which a killed training run resumes as if nothing had happened.

One file per recipe holds all variables of model, metrics and optimizer (weights, moments,
averages, the state of every random generator), the position in the data, the history and what the
diagnosis has found. It is replaced in one step, so that a kill at any moment leaves a complete one,
and removed when training is finished.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from components.trainer.lasting import lasting_folder
from components.trainer.state import TrainingState

if TYPE_CHECKING:
    from components.trainer.checkpoint_mirror import CheckpointMirror

CHECKPOINT_FILE = "checkpoint.npz"
FOLDER_NAME = re.compile(r"[0-9a-f]{32}")
"""The first half of a recipe: what the folder of its checkpoint is called."""

_PARTIAL_FILE = f"{CHECKPOINT_FILE}.partial"
_FORMAT = 2
_KEPT_DAYS = 14.0
_BEST_WEIGHTS = "best/"

_logger = logging.getLogger(__name__)


def checkpoint_folder(root: str, recipe: str) -> Path | None:
    """Returns the folder of a recipe's checkpoint below `root`, or None where none can be kept."""
    folder = lasting_folder(
        root, recipe[:32], kept="checkpoints", otherwise="A killed training run will start over."
    )
    if folder:
        _remove_forgotten(folder)
    return folder


def remove_checkpoint(folder: Path) -> None:
    """Removes the checkpoint of a finished training run, and its folder unless more is in it."""
    with contextlib.suppress(OSError):
        for name in (CHECKPOINT_FILE, _PARTIAL_FILE):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


class Checkpoint:
    """The content of a checkpoint, to be restored into a model built in the same way."""

    def __init__(self, fields: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self._fields = fields
        self._arrays = arrays

    def restore_state(self, state: TrainingState) -> None:
        """Sets position, history, findings and best weights."""
        count = self._fields["best_weights"]
        best = (
            None
            if count is None
            else [self._arrays[f"{_BEST_WEIGHTS}{index}"] for index in range(count)]
        )
        state.restore(self._fields["state"], best)

    def restore_variables(self, model: keras.Model) -> None:
        """Sets all variables of a fully built model, including its metrics."""
        for name, variable in _variables(model).items():
            variable.assign(self._arrays[name])

    def fits(self, model: keras.Model) -> bool:
        """Whether the variables are those of the model, by place and shape."""
        kept = {
            name: array.shape
            for name, array in self._arrays.items()
            if not name.startswith(_BEST_WEIGHTS)
        }
        return kept == {name: tuple(each.shape) for name, each in _variables(model).items()}


def write_checkpoint(folder: Path, model: keras.Model, state: TrainingState) -> None:
    """Replaces the checkpoint in `folder`."""
    arrays: dict[str, Any] = {name: _numpy(value) for name, value in _variables(model).items()}
    best = state.best_weights
    arrays.update({f"{_BEST_WEIGHTS}{index}": array for index, array in enumerate(best or ())})
    fields = {
        "format": _FORMAT,
        "state": state.to_dict(),
        "best_weights": None if best is None else len(best),
    }
    text = np.frombuffer(json.dumps(fields).encode("utf-8"), np.uint8)
    partial = folder / _PARTIAL_FILE
    with partial.open("wb") as file:
        np.savez(file, fields=text, **arrays)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / CHECKPOINT_FILE)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Reads the checkpoint in `folder`; None if there is none, or it cannot be used."""
    path = folder / CHECKPOINT_FILE
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        fields = json.loads(arrays.pop("fields").tobytes())
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        _logger.warning("The checkpoint %s cannot be read (%s): starting over.", path, error)
        return None
    if fields.get("format") != _FORMAT:
        _logger.warning("The checkpoint %s has another version: starting over.", path)
        return None
    return Checkpoint(fields, arrays)


class Checkpointer(keras.callbacks.Callback):
    """Writes a checkpoint after every epoch, and at intervals within one.

    It comes after all callbacks that change the state or swap weights. None is written between
    the last batch of an epoch and its end: `fit` cannot begin with validation.

    Args:
        folder: where to write.
        state: the training's state.
        steps_per_epoch: batches in each epoch.
        seconds: time between checkpoints within an epoch.
        mirror: copies each checkpoint elsewhere, if the folder does not outlive the process.
    """

    def __init__(
        self,
        folder: Path,
        state: TrainingState,
        steps_per_epoch: int,
        seconds: float,
        mirror: CheckpointMirror | None = None,
    ) -> None:
        super().__init__()
        self.mirror = mirror
        self.folder = folder
        self.state = state
        self.steps_per_epoch = steps_per_epoch
        self.seconds = seconds
        self.written = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        is_last = self.state.position.step == self.steps_per_epoch
        if not is_last and time.monotonic() - self.written >= self.seconds:
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._write()

    def _write(self) -> None:
        try:
            write_checkpoint(self.folder, self.model, self.state)
            if self.mirror:
                self.mirror.push()
        except OSError as error:  # A full disk must not end training.
            _logger.warning("No checkpoint could be written: %s", error)
        self.written = time.monotonic()


class Resume(keras.callbacks.Callback):
    """Restores a checkpoint when the first epoch begins; comes first.

    Not before, because `fit` resets the metrics as it begins, and they hold part of the epoch.
    """

    def __init__(self, checkpoint: Checkpoint, state: TrainingState) -> None:
        super().__init__()
        self.checkpoint: Checkpoint | None = checkpoint
        self.state = state

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.checkpoint:
            self.checkpoint.restore_variables(self.model)
            self.checkpoint = None
            if self.state.position.step == 0:  # The metrics are those of a finished epoch.
                self.model.reset_metrics()


def _variables(model: keras.Model) -> dict[str, Any]:
    groups: dict[str, Sequence[Any]] = {
        "model": model.variables,
        "metrics": model.metrics_variables,
        "optimizer": model.optimizer.variables,
    }
    # Not by their names, which Keras numbers through all models that a process has built.
    return {
        f"{group}/{index}": variable
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }


def _numpy(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _remove_forgotten(folder: Path) -> None:
    """Removes other recipes' checkpoints; the root may hold folders that are none of ours."""
    oldest = time.time() - _KEPT_DAYS * 24 * 3600
    for file in folder.parent.glob(f"*/{CHECKPOINT_FILE}"):
        if file.parent == folder or not FOLDER_NAME.fullmatch(file.parent.name):
            continue
        with contextlib.suppress(OSError):  # removed since, by another training run
            if file.stat().st_mtime < oldest:
                _logger.info("Removing %s: not touched for %d days.", file.parent, _KEPT_DAYS)
                remove_checkpoint(file.parent)
