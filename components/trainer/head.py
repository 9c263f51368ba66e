"""The layers after a backbone, by themselves: trained on its features."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from components.trainer.config import TrainerConfig
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
    backbone, *rest = network.layers[1:]
    features = backbone(network.input)
    while isinstance(rest[0], _POOLING):
        features = rest.pop(0)(features)
    inputs = keras.Input(features.shape[1:], name="features")
    outputs = inputs
    for layer in rest:
        outputs = layer(outputs)
    return keras.Model(network.input, features), keras.Model(inputs, outputs, name="network")


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
