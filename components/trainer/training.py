"""One training run: a model, its data, its callbacks, and where it resumes after a kill."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.contracts.diagnosis import Finding
from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT, LabelSchema
from components.support.errors import DataError
from components.trainer.callbacks import (
    AveragedWeights,
    BestWeights,
    OwnRandomNumbers,
    ProgressReport,
    StateKeeper,
)
from components.trainer.checkpoint_mirror import CheckpointMirror
from components.trainer.checkpoints import Checkpointer, Resume, read_checkpoint
from components.trainer.config import TrainerConfig, name_and_kwargs
from components.trainer.data_parallel import DataParallelModel
from components.trainer.dataset import (
    Position,
    Split,
    eval_dataset,
    label_prior,
    load_images,
    train_dataset,
)
from components.trainer.diagnostics.callback import Diagnostics, first_covers
from components.trainer.event_files import EventFiles
from components.trainer.feature_store import FeatureStore
from components.trainer.features import compute_features, features_key
from components.trainer.head import fit_head, split_at_features
from components.trainer.model import (
    AugmentedModel,
    build_model,
    build_training_variables,
    compile_model,
)
from components.trainer.parts import WHOLE, Part
from components.trainer.state import TrainingState
from components.trainer.worker_group import WorkerGroup

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The two splits of a training run, decoded if they fit into memory.

    Attributes:
        schema: names genres and features.
        train: what is fitted.
        evaluation: what chooses the epoch and tunes thresholds.
        train_images: see `load_images`.
        evaluation_images: see `load_images`.
        store: where features of frozen backbones are kept for other training runs; None keeps none.
        group: the workers that train together, of which this process is one; None trains alone.
        remembered: features by split and by what they depend on, so that the trials of a tuner
            share a frozen backbone.
    """

    schema: LabelSchema
    train: Split
    evaluation: Split
    train_images: tf.Tensor | None
    evaluation_images: tf.Tensor | None
    store: FeatureStore | None = None
    group: WorkerGroup | None = None
    remembered: dict[tuple[str, str], tf.Tensor] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(
        cls,
        schema: LabelSchema,
        train: Split,
        evaluation: Split,
        config: TrainerConfig,
        store: FeatureStore | None = None,
        group: WorkerGroup | None = None,
    ) -> TrainingData:
        """Decodes both splits; raises as `load_images` does."""
        train_images = load_images(train, schema, config)
        evaluation_images = load_images(evaluation, schema, config)
        return cls(schema, train, evaluation, train_images, evaluation_images, store, group)

    @property
    def part(self) -> Part:
        """The part of every batch that this process trains on."""
        return self.group.part if self.group else WHOLE

    def with_features(self, extractor: keras.Model, config: TrainerConfig) -> TrainingData:
        """Returns the same data with the covers' features in the place of their images."""
        return dataclasses.replace(
            self,
            train_images=self.features_of(TRAIN_SPLIT, extractor, config),
            evaluation_images=self.features_of(EVAL_SPLIT, extractor, config),
        )

    def features_of(self, name: str, extractor: keras.Model, config: TrainerConfig) -> tf.Tensor:
        """Returns the features of a split's covers in the order of its labels.

        Args:
            name: of the split.
            extractor: images to features; see `split_at_features`.
            config: names the backbones and the size of the covers.
        """
        split, images = {
            TRAIN_SPLIT: (self.train, self.train_images),
            EVAL_SPLIT: (self.evaluation, self.evaluation_images),
        }[name]
        key = features_key(extractor, config)
        if (name, key) in self.remembered:
            return self.remembered[name, key]
        features = compute_features(
            extractor, key, split, images, self.schema, config, self.store, self.group
        )
        if config.trains_on_features:  # Otherwise they are needed only once.
            self.remembered[name, key] = features
        return features

    def train_batches(self, config: TrainerConfig, start: Position) -> tf.data.Dataset:
        """Returns the shuffled batches of all epochs from `start` on, or this worker's part."""
        return train_dataset(self.train, self.train_images, self.schema, config, start, self.part)

    def evaluation_batches(self, config: TrainerConfig, part: Part = WHOLE) -> tf.data.Dataset:
        """Returns one pass over the eval split, or a part of it, in the order of its labels."""
        return eval_dataset(self.evaluation, self.evaluation_images, self.schema, config, part)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: with the weights of the best epoch.
        findings: what is wrong with its training.
        epochs: the history, a row per epoch.
        best_epoch: the epoch, from 1, whose weights the model has.
        initial_weights: those that the layers after a frozen backbone, or all layers, began with.
    """

    model: AugmentedModel
    findings: list[Finding]
    epochs: list[dict[str, float]]
    best_epoch: int
    initial_weights: list[np.ndarray]


def train_model(
    data: TrainingData,
    config: TrainerConfig,
    run_dir: Path,
    checkpoints: Path | None = None,
    mirror: CheckpointMirror | None = None,
    resume_from: Path | None = None,
) -> Trained:
    """Builds and trains a model; a killed training run resumes from its last checkpoint.

    Args:
        data: both splits, and the workers that train together, each of which calls this.
        config: everything that shapes the training.
        run_dir: where history, diagnosis and event files go; exists.
        checkpoints: folder of this training run's checkpoint; None writes none.
        mirror: copies it to an object store; None if the folder itself outlives the process.
        resume_from: folder of the checkpoint to begin with; by default `checkpoints`.

    Returns:
        The model with the weights of the best epoch, and what the diagnosis found along the way.

    Raises:
        ConfigError: the model cannot be built, or training diverged.
        tf.errors.InvalidArgumentError: a cover does not decode.
    """
    steps = data.train.steps(config.batch_size)
    prior = label_prior(data.train.labels)
    resume_from = resume_from or checkpoints
    checkpoint = read_checkpoint(resume_from) if resume_from else None
    strategy = device_strategy()
    with strategy.scope():
        whole = model = build_model(config, len(data.schema.genres), prior)
        if config.trains_on_features:
            extractor, head = split_at_features(whole.network)
            data = data.with_features(extractor, config)
            model = AugmentedModel(head)
        initial_weights = model.network.get_weights()
        if data.group:
            model = DataParallelModel(model, data.group, config.batch_size)
        compile_model(model, config, steps, prior)
        build_training_variables(model)
        if checkpoint and not checkpoint.fits(model):
            _logger.warning("The checkpoint belongs to another model: training starts over.")
            checkpoint = None
        fits_head_first = bool(config.backbone and config.head_epochs)
        if fits_head_first and not config.trains_on_features and checkpoint is None:
            extractor, head = split_at_features(whole.network)
            features = data.features_of(TRAIN_SPLIT, extractor, config)
            fit_head(head, features, data.train.labels, config, prior)
    state = TrainingState(config.early_stopping)
    callbacks = _callbacks(data, config, state, run_dir)
    is_chief = data.group is None or data.group.is_chief
    if checkpoints and config.checkpoint_seconds and is_chief:
        callbacks.append(Checkpointer(checkpoints, state, steps, config.checkpoint_seconds, mirror))
    if checkpoint:
        checkpoint.restore_state(state)
        checkpoint.restore_variables(model)
        state.write_history(run_dir)
        callbacks.insert(0, Resume(checkpoint, state))
    if data.group:
        variables = [*model.variables, *model.optimizer.variables]
        data.group.take_over(variables)
        callbacks.insert(1 if checkpoint else 0, OwnRandomNumbers(data.group))
    for callback in callbacks:
        if isinstance(callback, Diagnostics):
            callback.check_inputs()
    _fit(model, data, config, state, callbacks)
    for callback in callbacks:
        if isinstance(callback, EventFiles):
            callback.write_new()  # of a training run that was killed after its last epoch
    if state.best_weights is not None:
        model.network.set_weights(state.best_weights)
    return Trained(
        whole,
        list(state.findings.values()),
        state.epochs,
        state.best_epoch,
        initial_weights,
    )


def evaluation_probabilities(
    network: keras.Model, data: TrainingData, config: TrainerConfig
) -> np.ndarray:
    """Returns a network's predictions of the eval split: float32, shape (covers, genres).

    With a frozen backbone they follow from the covers' features. After training in mixed precision
    the served network, which is float32, has features of its own; they are computed once and kept,
    too, so that thresholds are tuned on what is served.

    Args:
        network: the network to be served.
        data: both splits.
        config: what the network was trained with.
    """
    if not config.trains_on_features:
        return np.asarray(network.predict(data.evaluation_batches(config), verbose=0))
    extractor, head = split_at_features(network)
    features = data.features_of(EVAL_SPLIT, extractor, config)
    return np.asarray(head.predict(features, batch_size=config.batch_size, verbose=0))


def device_strategy() -> tf.distribute.Strategy:
    """Returns data parallelism over all GPUs where there are several, else no strategy."""
    devices = visible_devices()
    return _mirrored(tuple(devices)) if len(devices) > 1 else tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """Returns one and the same strategy, since only its own variables can be trained with it."""
    return tf.distribute.MirroredStrategy(devices)


def visible_devices() -> list[str]:
    """Returns the names of the GPUs that TensorFlow sees."""
    return [device.name for device in tf.config.list_logical_devices("GPU")]


def _fit(
    model: AugmentedModel,
    data: TrainingData,
    config: TrainerConfig,
    state: TrainingState,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    if state.position.epoch == config.epochs:  # Killed after the last epoch.
        model.optimizer.finalize_variable_values(model.trainable_variables)
    # The rest of an unfinished epoch is a separate call: it has fewer steps.
    while state.position.epoch < config.epochs and not state.is_over:
        start = state.position
        model.fit(
            data.train_batches(config, start),
            steps_per_epoch=data.train.steps(config.batch_size) - start.step,
            initial_epoch=start.epoch,
            epochs=start.epoch + 1 if start.step else config.epochs,
            validation_data=data.evaluation_batches(config, data.part),
            callbacks=callbacks,
            verbose=0,
        )


def _callbacks(
    data: TrainingData,
    config: TrainerConfig,
    state: TrainingState,
    run_dir: Path,
) -> list[keras.callbacks.Callback]:
    steps = data.train.steps(config.batch_size)
    callbacks: list[keras.callbacks.Callback] = [StateKeeper(state, run_dir)]
    if data.group is None or data.group.is_chief:
        callbacks += [
            ProgressReport(state, config.epochs, steps),
            Diagnostics(
                *first_covers(data.evaluation_batches(config)),
                data.train.labels,
                data.schema.genres,
                config,
                state,
                run_dir,
            ),
            EventFiles(state, run_dir),
        ]
    if config.early_stopping:
        callbacks.append(BestWeights(state))
    if name_and_kwargs(config.optimizer)[1].get("use_ema"):
        callbacks.append(AveragedWeights())
    return callbacks


@contextlib.contextmanager
def covers_that_decode() -> Iterator[None]:
    """Raises a DataError for what TensorFlow raises if a cover does not decode."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if "IteratorGetNext" not in error.message:  # Not raised by the input.
            raise
        reasons = [line for line in error.message.splitlines() if "[[" not in line]
        raise DataError(
            f"Expected every cover of the {TRAIN_SPLIT} and {EVAL_SPLIT} splits to decode. "
            f"Received: {reasons[-1]}. Ingest the data again, so that bad covers are quarantined."
        ) from error
