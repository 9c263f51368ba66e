"""Fits the layers after a backbone on its frozen features, before fine-tuning."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from components import progress
from components.trainer.callbacks import STAGE
from components.trainer.config import TrainerConfig
from components.trainer.model import AugmentedModel
from components.trainer.optimization import make_loss

# Low and constant: the features are good already, and a head that overfits them is a worse
# beginning for fine-tuning than none.
_LEARNING_RATE = 1e-4
# Layers that do the same in training and after it: their outputs can be computed once.
_POOLING = (
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Flatten,
)


def fit_head(
    model: AugmentedModel,
    images: tf.data.Dataset,
    labels: np.ndarray,
    config: TrainerConfig,
    label_prior: np.ndarray,
) -> None:
    """Trains what follows the backbone for `config.backbone.head_epochs` epochs.

    The frozen features of the covers, not augmented, are computed once, so that an epoch costs
    next to nothing. Does nothing without a backbone.

    Args:
        model: what `build_model` built.
        images: batches (image, label) in the order of `labels`.
        labels: float32, shape (examples, genres).
        config: names the loss and the number of epochs.
        label_prior: float, shape (genres,): what balanced class weights follow from.
    """
    if not config.backbone or not config.backbone.head_epochs:
        return
    backbone, *rest = model.network.layers[1:]
    while isinstance(rest[0], _POOLING):
        backbone = rest.pop(0)
    progress.report(STAGE, 0, 1, "features of the frozen backbone")
    extractor = keras.Model(model.network.input, backbone.output)
    features = extractor.predict(images.map(lambda image, _: image), verbose=0)
    inputs = keras.Input(features.shape[1:])
    outputs = inputs
    for layer in rest:
        outputs = layer(outputs)
    head = keras.Model(inputs, outputs)
    head.compile(
        keras.optimizers.Adam(_LEARNING_RATE), make_loss(config, label_prior), jit_compile=False
    )
    head.fit(
        features,
        labels,
        batch_size=config.batch_size,
        epochs=config.backbone.head_epochs,
        verbose=0,
    )
