"""The layers after a backbone, by themselves: trained on its features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.trainer.config import TrainerConfig
from components.trainer.kernel_ridge import KernelScores
from components.trainer.optimization import make_loss

# Low and constant: a head that overfits the features is a worse start than none.
_LEARNING_RATE = 1e-4
# Layers that behave the same in training and after it: their outputs can be computed once, too.
_POOLING = (
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Flatten,
)


def split_at_features(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Splits a network behind its backbone, and behind pooling that follows.

    Returns:
        A model from images to features, and one from features to probabilities; both share
        their layers with `network`.
    """
    features, rest = _features_and_layers(network)
    inputs = keras.Input(features.shape[1:], name="features")
    head = keras.Model(inputs, _apply(rest, inputs), name="network")
    return keras.Model(network.input, features), head


def join_scores(network: keras.Model, kernel: KernelScores) -> keras.Model:
    """Puts the scores of a kernel beside what the last layer of a network sees.

    Returns:
        A network that shares all layers but the last, which is new and takes both.
    """
    features, rest = _features_and_layers(network)
    joined = keras.layers.Concatenate(name="hidden_and_scores")
    last = keras.layers.Dense(
        rest[-1].units, activation="sigmoid", dtype="float32", name=rest[-1].name
    )
    outputs = _apply([*rest[:-1], kernel, joined, last], features)
    return keras.Model(network.input, outputs, name=network.name)


def _features_and_layers(network: keras.Model) -> tuple[Any, list[keras.Layer]]:
    backbone, *rest = network.layers[1:]
    features = backbone(network.input)
    while isinstance(rest[0], _POOLING):
        features = rest.pop(0)(features)
    return features, rest


def _apply(layers: Iterable[keras.Layer], features: Any) -> Any:
    """Applies layers in a row; a kernel's scores, of the features themselves, are joined later."""
    outputs, scores = features, []
    for layer in layers:
        if isinstance(layer, KernelScores):
            scores.append(layer(features))
        elif isinstance(layer, keras.layers.Concatenate):
            outputs = layer([outputs, *scores])
        else:
            outputs = layer(outputs)
    return outputs


def fit_head(
    head: keras.Model,
    features: tf.Tensor,
    labels: np.ndarray,
    config: TrainerConfig,
    label_prior: np.ndarray,
) -> None:
    """Trains what follows the backbone for `config.head_epochs` epochs, on unaugmented covers.

    Args:
        head: features to probabilities; see `split_at_features`.
        features: float32, shape (examples, ...), in the order of `labels`.
        labels: float32, shape (examples, genres).
        config: names the loss and the number of epochs.
        label_prior: float, shape (genres,): what balanced class weights follow from.
    """
    head.compile(
        keras.optimizers.Adam(_LEARNING_RATE), make_loss(config, label_prior), jit_compile=False
    )
    head.fit(features, labels, batch_size=config.batch_size, epochs=config.head_epochs, verbose=0)
