"""The embedding of a cover: what the last layer of a network sees of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np

from components.contracts.cover_embeddings import CoverEmbeddings, write_cover_embeddings
from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT
from components.trainer.config import TrainerConfig
from components.trainer.dataset import Split, images_dataset
from components.trainer.head import split_at_features
from components.trainer.identities import identities
from components.trainer.training import TrainingData

_WIDEST = 8_192
_MOST_FROM_FEATURES, _MOST_FROM_IMAGES = 50_000, 5_000


def split_at_embedding(network: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Splits a network before its last layer; None where that has no one vector as its input.

    Returns:
        A model from images to embeddings (batch, n), and one from these to probabilities; both
        share their layers with `network`.
    """
    # A layer's own `input` is that of its first call, which may be in another network.
    made_by = network.outputs[0]._keras_history
    last = made_by.operation
    given = last._inbound_nodes[made_by.node_index].input_tensors
    if len(given) != 1 or len(given[0].shape) != 2 or not 0 < (given[0].shape[1] or 0) <= _WIDEST:
        return None
    embedding = given[0]
    inputs = keras.Input(embedding.shape[1:], name="embedding")
    return keras.Model(network.inputs[0], embedding), keras.Model(inputs, last(inputs))


def write_training_embeddings(
    network: keras.Model,
    trained: keras.Model,
    data: TrainingData,
    config: TrainerConfig,
    model_run: Path,
) -> None:
    """Writes the embeddings of the covers that a network was fitted to.

    These are the train split and, after a refit, the eval split; of many covers a random part.

    Args:
        network: the network to be served.
        trained: the same as it was trained; its frozen backbone's features are in memory.
        data: the splits.
        config: what it was trained with.
        model_run: the folder of the training run.
    """
    if split_at_embedding(network) is None:
        return
    splits = {TRAIN_SPLIT: data.train}
    if config.refit:
        splits[EVAL_SPLIT] = data.evaluation
    parts = [
        _embed(network, trained, data, config, name, share)
        for name, share in zip(splits, _shares(splits.values(), config), strict=True)
    ]
    write_cover_embeddings(
        model_run,
        CoverEmbeddings(
            tuple(identity for part in parts for identity in part.ids),
            tuple(path for part in parts for path in part.paths),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.embeddings for part in parts]),
        ),
    )


def _shares(splits: Iterable[Split], config: TrainerConfig) -> list[int]:
    """Returns how many covers of each split are embedded."""
    most = _MOST_FROM_FEATURES if config.trains_on_features else _MOST_FROM_IMAGES
    counts = [len(split.labels) for split in splits]
    part = min(1.0, most / sum(counts))
    return [math.ceil(part * count) for count in counts]


def _embed(
    network: keras.Model,
    trained: keras.Model,
    data: TrainingData,
    config: TrainerConfig,
    name: str,
    count: int,
) -> CoverEmbeddings:
    split, images = {
        TRAIN_SPLIT: (data.train, data.train_images),
        EVAL_SPLIT: (data.evaluation, data.evaluation_images),
    }[name]
    order = np.random.default_rng(config.seed).permutation(len(split.labels))
    rows = np.sort(order[:count])
    if config.trains_on_features:
        features = data.features_of(name, split_at_features(trained)[0], config)
        parts = split_at_embedding(split_at_features(network)[1])
        given = np.asarray(features)[rows]
    else:
        parts = split_at_embedding(network)
        given = images_dataset(split, images, rows, data.schema, config)
    assert parts is not None
    embeddings = parts[0].predict(given, batch_size=config.batch_size, verbose=0)
    ids, _, paths = identities(split)
    return CoverEmbeddings(
        tuple(ids[row] for row in rows),
        tuple(paths[row] for row in rows),
        split.labels[rows] > 0,
        np.asarray(embeddings),
    )
