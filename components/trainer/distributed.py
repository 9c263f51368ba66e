"""Training by several workers, as the process of the run sees it."""

from __future__ import annotations

import tensorflow as tf

from components.contracts.label_schema import LabelSchema
from components.support.errors import ConfigError
from components.trainer.attendance import meeting_folder
from components.trainer.config import TrainerConfig
from components.trainer.dataset import Split, label_prior
from components.trainer.feature_store import FeatureStore
from components.trainer.handover import WorkerTask
from components.trainer.head import split_at_features
from components.trainer.launcher import train_with_workers
from components.trainer.model import build_model, without_pretrained_weights
from components.trainer.training import Trained, TrainingData


def train_together(
    task: WorkerTask,
    schema: LabelSchema,
    train: Split,
    evaluation: Split,
    config: TrainerConfig,
    store: FeatureStore | None,
) -> tuple[TrainingData, Trained]:
    """Lets `config.workers` processes train, and returns what `train_model` would.

    Args:
        task: what the workers do.
        schema: names genres and features.
        train: the train split.
        evaluation: the eval split.
        config: what the task holds, too.
        store: where features of frozen backbones are kept.

    Returns:
        Both splits, of which nothing is decoded, and the trained model.

    Raises:
        ConfigError: workers on other machines have no folder to meet in, or those on this one
            would share its GPUs.
        CoversError: as `train_with_workers`.
    """
    if not config.worker_addresses:
        _check_no_gpus(config.workers)
    meeting = meeting_folder(task.checkpoint_root) if config.worker_addresses else None
    result = train_with_workers(task, config.workers, config.worker_addresses, meeting)
    prior = label_prior(train.labels)
    model = build_model(without_pretrained_weights(config), len(schema.genres), prior)
    start = split_at_features(model.network)[1] if config.trains_on_features else model.network
    initial_weights = start.get_weights()
    model.network.set_weights(result.weights)
    with tf.device("CPU:0"):
        features = {name: tf.convert_to_tensor(each) for name, each in result.features.items()}
    data = TrainingData(schema, train, evaluation, None, None, store, remembered=features)
    return data, Trained(model, result.findings, result.epochs, result.best_epoch, initial_weights)


def _check_no_gpus(workers: int) -> None:
    # Each process would take all memory of all GPUs.
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus:
        raise ConfigError(
            "Expected trainer.workers=1 on a machine with GPUs, all of which one process trains "
            f"on. Received: workers={workers}, and {gpus} GPU{'s' if gpus > 1 else ''}. The "
            "environment variable CUDA_VISIBLE_DEVICES=-1 hides GPUs."
        )
