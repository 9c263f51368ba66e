"""What TensorBoard finds in the folder of a training run."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from components.trainer.event_files import EventFiles, write_final_metrics
from components.trainer.state import TrainingState

ROWS = [
    {"epoch": epoch, "learning_rate": 0.1, "seconds": 2.0, "loss": 1 / epoch, "val_loss": 2 / epoch}
    for epoch in (1, 2, 3)
]


def events(folder):
    [file] = folder.glob("*tfevents*")
    records = [
        event_pb2.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(file))
    ]
    assert records[0].file_version == "brain.Event:2"
    return [
        (event.step, value.tag, value.simple_value)
        for event in records[1:]
        for value in event.summary.value
    ]


def test_each_epoch_is_written_once_those_before_a_kill_included(tmp_path):
    state = TrainingState(None)
    files = EventFiles(state, tmp_path)
    state.epochs = ROWS[:2]
    files.on_epoch_end(1)
    assert len(events(tmp_path / "validation")) == 2, "it can be watched while it grows"
    state.epochs = ROWS
    files.on_epoch_end(2)
    files.write_new()
    assert events(tmp_path / "validation") == [
        (row["epoch"], "epoch_loss", pytest.approx(row["val_loss"])) for row in ROWS
    ]
    train = [(step, tag) for step, tag, _ in events(tmp_path / "train")]
    assert train == [(e, f"epoch_{n}") for e in (1, 2, 3) for n in ("learning_rate", "loss")]


def test_final_metrics_are_those_of_the_exported_model_without_what_is_no_number(tmp_path):
    labels = np.array([[1, 0], [0, 0], [1, 0]])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.1], [0.8, 0.2]])
    write_final_metrics(tmp_path, 7, ("rock", "pop"), labels, probabilities, probabilities > 0.5)
    found = {tag: value for step, tag, value in events(tmp_path / "final") if step == 7}
    assert found["final_roc_auc/rock"] == 1.0 and found["final/hamming_loss"] == 0.0
    assert "final_roc_auc/pop" not in found, "nothing is pop"


def test_tensorboard_reads_the_files(tmp_path):
    pytest.importorskip("tensorboard", reason="this dependency line brings no TensorBoard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    state = TrainingState(None)
    state.epochs = ROWS
    EventFiles(state, tmp_path).write_new()
    read = EventAccumulator(str(tmp_path / "train"))
    read.Reload()
    points = [(point.step, round(point.value, 3)) for point in read.Scalars("epoch_loss")]
    assert points == [(1, 1.0), (2, 0.5), (3, 0.333)]
