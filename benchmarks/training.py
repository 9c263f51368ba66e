"""How fast the Trainer trains, beside a bare `model.fit` on an in-memory array.

    python benchmarks/training.py DATA [--config cnn seed] [--epochs 4] [--rounds 2]

Both train the same model with the same optimizer, loss, augmentation, batch size and validation
split. The Trainer adds what its `run_fn` adds: its input pipeline, metrics, progress, history,
diagnosis, TensorBoard and checkpoints; the bare model has only its loss. `images/s` counts the
training steps of an epoch, `with validation` whole epochs with everything that belongs to them, the
median over the epochs but the first of each training, which traces the graph. On a busy machine
compare CPU milliseconds. The target is 0.95 of the bare model's images/s.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from examples import ingest_covers, patterns, schema_file

from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT, LabelSchema
from components.support import progress
from components.trainer import training
from components.trainer.config import TrainerConfig
from components.trainer.dataset import label_prior, read_split
from components.trainer.model import build_model
from components.trainer.optimization import make_loss, make_optimizer
from components.trainer.training import TrainingData, train_model
from pipeline.config import load_config

TARGET = 0.95


@dataclasses.dataclass(frozen=True)
class Reading:
    """Wall and CPU seconds at one moment."""

    wall: float = dataclasses.field(default_factory=time.perf_counter)
    cpu: float = dataclasses.field(default_factory=time.process_time)


class Clock(keras.callbacks.Callback):
    """Reads the clocks when an epoch begins, when its steps are done and when training ends."""

    def __init__(self) -> None:
        super().__init__()
        self.begins: list[Reading] = []
        self.steps_done: list[Reading] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.begins.append(Reading())

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.steps_done.append(Reading())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.begins.append(Reading())

    def seconds(self) -> dict[str, list[float]]:
        """Returns wall and CPU seconds of the steps, and wall seconds of all, by epoch."""
        steps = list(zip(self.begins[:-1], self.steps_done, strict=True))[1:]
        return {
            "steps": [done.wall - begin.wall for begin, done in steps],
            "cpu": [done.cpu - begin.cpu for begin, done in steps],
            "all": list(np.diff([each.wall for each in self.begins])[1:]),
        }


def main() -> None:
    """Prints a table per configuration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a CSV manifest or a folder of covers")
    parser.add_argument("--config", nargs="+", default=["cnn", "seed"])
    parser.add_argument("--epochs", type=int, default=4, help="of each training")
    parser.add_argument("--rounds", type=int, default=2, help="trainings of each kind, in turn")
    options = parser.parse_args()
    if options.epochs < 3:
        parser.error("--epochs must be 3 or more: the first is not counted, warm-up takes two")
    configs = {name: load_config(name) for name in options.config}
    first = next(iter(configs.values()))
    print("| configuration | | images/s | CPU ms / image | with validation, images/s |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as folder:
        ingest_covers(options.data, Path(folder), first.schema_text(), first.ingest)
        schema = LabelSchema.from_file(schema_file(Path(folder)))
        train, evaluation = (
            read_split(patterns(Path(folder), split), schema, split)
            for split in (TRAIN_SPLIT, EVAL_SPLIT)
        )
        for name, config in configs.items():
            trainer = config.trainer.model_copy(update={"epochs": options.epochs})
            if trainer.trains_on_features:
                parser.error(f"{name} trains on features of its backbone, not on images")
            data = TrainingData.load(schema, train, evaluation, trainer)
            compare(name, data, trainer, options.rounds)


def compare(name: str, data: TrainingData, config: TrainerConfig, rounds: int) -> None:
    """Trains both ways in turn and prints medians and their ratios."""
    ways: dict[str, Callable[[TrainingData, TrainerConfig], Clock]] = {
        "bare model.fit": fit_bare,
        "Trainer": fit_trainer,
    }
    seconds: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    for _ in range(rounds):
        for way, fit in ways.items():
            for kind, values in fit(data, config).seconds().items():
                seconds[way].setdefault(kind, []).extend(values)
            keras.utils.clear_session()
    images = len(data.train.labels)
    rows = {}
    for way, kinds in seconds.items():
        steps, cpu, everything = (float(np.median(kinds[kind])) for kind in ("steps", "cpu", "all"))
        rows[way] = np.array([images / steps, 1000 * cpu / images, images / everything])
        print("| {} | {} | {:.0f} | {:.2f} | {:.0f} |".format(name, way, *rows[way]))
    ratios = rows["Trainer"] / rows["bare model.fit"]
    cells = "{} | ratio | {:.3f} | {:.3f} | {:.3f}".format(name, *ratios)
    print(f"| {cells} |", flush=True)
    print(f"{name}: target {TARGET}, {'met' if ratios[0] >= TARGET else 'missed'}\n", flush=True)


def fit_trainer(data: TrainingData, config: TrainerConfig) -> Clock:
    """Trains as `run_fn` does, with a clock among the callbacks."""
    clock = Clock()
    make_callbacks = training._callbacks
    with (
        tempfile.TemporaryDirectory(prefix="covers-benchmark-") as folder,
        mock.patch.object(training, "_callbacks", lambda *args: [clock, *make_callbacks(*args)]),
        progress.listening(lambda *_: None, lambda *_: None),
    ):
        train_model(data, config, Path(folder), Path(folder))
    return clock


def fit_bare(data: TrainingData, config: TrainerConfig) -> Clock:
    """Trains the same model on arrays, with only its loss."""
    clock = Clock()
    prior = label_prior(data.train.labels)
    model = build_model(config, len(data.schema.genres), prior)
    model.compile(
        optimizer=make_optimizer(config, data.train.steps(config.batch_size)),
        loss=make_loss(config, prior),
        jit_compile=False,
    )
    model.fit(
        np.asarray(data.train_images),
        data.train.labels,
        batch_size=config.batch_size,
        epochs=config.epochs,
        validation_data=(np.asarray(data.evaluation_images), data.evaluation.labels),
        validation_batch_size=config.batch_size,
        callbacks=[clock],
        verbose=0,
    )
    return clock


if __name__ == "__main__":
    main()
