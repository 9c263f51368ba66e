"""Event files, which TensorBoard reads: the curves of a training, and what came of it.

They are written without TensorBoard, which not every dependency line brings.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import summary_pb2
from tensorflow.core.util import event_pb2

from components.contracts.metrics import compute_metrics
from components.contracts.scores import Scores, Table
from components.trainer.state import TrainingState

_TRAIN, _VALIDATION, _FINAL = "train", "validation", "final"
_FILE = "events.out.tfevents.covers"  # TensorBoard looks for the middle of it
_VERSION = "brain.Event:2"
_VALIDATED = "val_"
_NO_METRICS = ("epoch", "seconds")


class EventFiles(keras.callbacks.Callback):
    """Writes each epoch's metrics into `train/` and `validation/`, under Keras's own names.

    Args:
        state: the training's state; its epochs before a kill are written as well.
        folder: of the training run.
    """

    def __init__(self, state: TrainingState, folder: Path) -> None:
        super().__init__()
        self.state = state
        self._files = {name: _EventFile(folder / name) for name in (_TRAIN, _VALIDATION)}
        self._written = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.write_new()

    def write_new(self) -> None:
        """Writes the epochs that are not yet in the files."""
        for row in self.state.epochs[self._written :]:
            values: dict[str, dict[str, float]] = {name: {} for name in self._files}
            for metric, value in row.items():
                if metric not in _NO_METRICS:
                    name = _VALIDATION if metric.startswith(_VALIDATED) else _TRAIN
                    values[name][f"epoch_{metric.removeprefix(_VALIDATED)}"] = value
            for name, file in self._files.items():
                file.write(int(row["epoch"]), values[name])
        self._written = len(self.state.epochs)


def write_final_metrics(
    folder: Path,
    epoch: int,
    genres: tuple[str, ...],
    labels: np.ndarray,
    probabilities: np.ndarray,
    decisions: np.ndarray,
) -> None:
    """Writes the metrics of the exported model on the covers that tuned it into `final/`.

    Args:
        folder: of the training run.
        epoch: whose weights the model has, from 1.
        genres: in the order of the columns.
        labels: shape (covers, genres), 0 or 1.
        probabilities: float, likewise.
        decisions: 0 or 1, likewise.
    """
    scores = Scores(Table.of(labels, probabilities, decisions), np.ones((1, len(labels))))
    found = compute_metrics(scores)
    values = {f"final/{name}": float(value[0]) for name, value in found.overall.items()}
    for name, by_genre in found.per_genre.items():
        values |= {
            f"final_{name}/{genre}": float(value)
            for genre, value in zip(genres, by_genre[0], strict=True)
        }
    _EventFile(folder / _FINAL).write(epoch, values)


class _EventFile:
    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._writer: tf.io.TFRecordWriter | None = None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends the values that are numbers."""
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = tf.io.TFRecordWriter(str(self._path))
            self._append(event_pb2.Event(wall_time=time.time(), file_version=_VERSION))
        summary = summary_pb2.Summary(
            value=[
                summary_pb2.Summary.Value(tag=tag, simple_value=value)
                for tag, value in values.items()
                if math.isfinite(value)
            ]
        )
        self._append(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def _append(self, event: event_pb2.Event) -> None:
        assert self._writer is not None
        self._writer.write(event.SerializeToString())
