"""Training once more, on train and eval together, after the eval split has chosen the epoch.

A kernel beside the layers, where one is configured, is fitted to the same covers as they are.

The eval split cannot judge the result any more. What calibrates it and sets its thresholds are
out-of-fold predictions: each cover's, by layers that were trained on other covers, as long and in
the same way. Only the test split remains unseen, and only that is evaluated.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT, LabelSchema
from components.contracts.nodes import TRAINER
from components.contracts.signatures import HISTORY_FILE
from components.support import progress
from components.support.errors import DataError
from components.trainer.config import TrainerConfig
from components.trainer.dataset import START, Split, label_prior, train_dataset
from components.trainer.diagnostics.cross_fit import grouped_folds
from components.trainer.head import split_at_features
from components.trainer.identities import identities
from components.trainer.kernel_ridge import FittedKernel, fit_kernel
from components.trainer.model import AugmentedModel, compile_model
from components.trainer.training import (
    Trained,
    TrainingData,
    device_strategy,
    evaluation_probabilities,
)

_FOLDS = 5
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Judged:
    """Covers with labels, and what was predicted for them by a network that had not seen them.

    Attributes:
        labels: float32, shape (covers, genres).
        probabilities: float32, shape (covers, genres).
        scores: of the kernel beside the network, likewise fitted to other covers; None without one.
        kernel: the one to be served; None without one.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    scores: np.ndarray | None = None
    kernel: FittedKernel | None = None


def judge_on_eval(network: keras.Model, data: TrainingData, config: TrainerConfig) -> Judged:
    """Returns predictions of the eval split, by a network and a kernel that learnt from train.

    Args:
        network: the network to be served.
        data: both splits.
        config: what the network was trained with.
    """
    labels = data.evaluation.labels
    probabilities = evaluation_probabilities(network, data, config)
    if config.kernel is None:
        return Judged(labels, probabilities)
    extractor, _ = split_at_features(network)
    known, asked = (
        np.asarray(data.features_of(name, extractor, config)) for name in (TRAIN_SPLIT, EVAL_SPLIT)
    )
    kernel = fit_kernel(known, data.train.labels, config.kernel)
    return Judged(labels, probabilities, kernel.scores(asked), kernel)


def refit(
    network: keras.Model,
    trained: Trained,
    data: TrainingData,
    config: TrainerConfig,
    run_dir: Path,
) -> Judged:
    """Trains the layers after a frozen backbone on both splits, in the network to be served.

    Adds `refit` to `history.json`: covers, epochs and folds.

    Args:
        network: the network to be served; its layers after the backbone are changed.
        trained: the initial weights of these layers, and how many epochs were best.
        data: both splits.
        config: what the network was trained with.
        run_dir: holds `history.json`.

    Returns:
        The out-of-fold predictions of both splits, train first.

    Raises:
        DataError: all covers are near-duplicates of each other.
    """
    extractor, head = split_at_features(network)
    parts = [data.features_of(name, extractor, config) for name in (TRAIN_SPLIT, EVAL_SPLIT)]
    with tf.device("CPU:0"):
        features = tf.concat(parts, axis=0)
    labels = np.concatenate([data.train.labels, data.evaluation.labels])
    folds = draw_folds(
        [group for split in (data.train, data.evaluation) for group in identities(split)[1]]
    )
    if not folds.any():
        raise DataError(
            "Expected covers that are not all near-duplicates of each other, to refit. "
            f"Received: {len(labels)} covers of one group. Add other covers, or set refit: false."
        )
    probabilities, scores = np.empty_like(labels), np.empty_like(labels)
    start = trained.initial_weights, trained.best_epoch
    numbers = np.unique(folds)
    progress.start(TRAINER, len(numbers) + 1, "heads refitted on train and eval")
    for fold in numbers:
        asked, known = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        given, others = tf.gather(features, known), tf.gather(features, asked)
        fit_again(head, given, labels[known], start, data.schema, config)
        probabilities[asked] = head.predict(others, batch_size=config.batch_size, verbose=0)
        if config.kernel:
            fitted = fit_kernel(np.asarray(given), labels[known], config.kernel)
            scores[asked] = fitted.scores(np.asarray(others))
        progress.advance(TRAINER, 1)
    fit_again(head, features, labels, start, data.schema, config)
    progress.advance(TRAINER, 1)
    record = {"covers": len(labels), "epochs": trained.best_epoch, "folds": len(numbers)}
    add_to_history(run_dir, "refit", record)
    if config.kernel is None:
        return Judged(labels, probabilities)
    kernel = fit_kernel(np.asarray(features), labels, config.kernel)
    return Judged(labels, probabilities, scores, kernel)


def draw_folds(groups: Sequence[str]) -> np.ndarray:
    """Returns the fold of each cover, int64; covers of a near-duplicate group share theirs."""
    return grouped_folds(groups, _FOLDS, np.random.default_rng(_SEED))


def fit_again(
    head: keras.Model,
    features: tf.Tensor | np.ndarray,
    labels: np.ndarray,
    start: tuple[list[np.ndarray], int],
    schema: LabelSchema,
    config: TrainerConfig,
) -> None:
    """Trains from given weights, on the learning rates of the first training's epochs.

    Args:
        head: features to probabilities.
        features: float32, shape (covers, ...).
        labels: float32, shape (covers, genres).
        start: the weights, and for how many epochs to train.
        schema: names the genres.
        config: optimizer, its schedule over all epochs, loss and batch size.
    """
    weights, epochs = start
    split = Split((), labels, ())
    steps = split.steps(config.batch_size)
    with device_strategy().scope():
        head.set_weights(weights)
        model = AugmentedModel(head)
        compile_model(model, config, steps, label_prior(labels))
    model.fit(
        train_dataset(split, features, schema, config, START),
        steps_per_epoch=steps,
        epochs=epochs,
        verbose=0,
    )


def add_to_history(run_dir: Path, name: str, record: dict[str, Any]) -> None:
    """Adds a record to `history.json`."""
    path = run_dir / HISTORY_FILE
    history = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**history, name: record}, indent=2) + "\n", encoding="utf-8")
