"""Builds a backbone around a frozen image encoder: its size, its pixels, one vector per cover."""

from __future__ import annotations

from typing import Any

import keras

from components.support.errors import ConfigError
from components.trainer.channel_statistics import ChannelStatistics
from components.trainer.foundation.config import FoundationModel, Pixels
from components.trainer.foundation.encoder import Encoder
from components.trainer.foundation.keras_file import read_keras_file
from components.trainer.foundation.keras_hub_preset import read_keras_hub_preset
from components.trainer.foundation.saved_model import read_saved_model

_READERS = {
    "saved_model": read_saved_model,
    "keras": read_keras_file,
    "keras_hub": read_keras_hub_preset,
}


def build_foundation(config: FoundationModel, image_size: int, name: str) -> keras.Model:
    """Reads an encoder and puts its preprocessing before it and pooling behind it.

    Args:
        config: what to read.
        image_size: side of the covers in pixels, as they are decoded.
        name: of the network to be built.

    Returns:
        A frozen network from float images of any size, pixels 0 to 255, to one vector.

    Raises:
        ConfigError: the encoder cannot be read, does not take images, or takes larger ones than
            `image_size`.
        DeploymentError: an object store refused or failed.
    """
    encoder = _READERS[config.kind](config, image_size)
    if encoder.side > image_size:
        raise ConfigError(
            f"Expected trainer.image_size to be at least {encoder.side}, the side of the images "
            f"that {config.location} takes. Received: {image_size}. Set backbone.image_size or "
            f"trainer.image_size to {encoder.side}."
        )
    image = keras.Input((None, None, 3), name="image")
    # Not the layer Resizing: it puts the layers that follow it into training mode.
    sized = keras.ops.image.resize(image, (encoder.side, encoder.side), "bilinear")
    pixels = config.pixels or encoder.pixels or Pixels()
    scaled = keras.layers.Rescaling(pixels.scale, pixels.offset, dtype="float32", name="pixels")(
        sized
    )
    return keras.Model(image, _pooled(config, encoder, scaled), name=name)


def _pooled(config: FoundationModel, encoder: Encoder, images: Any) -> Any:
    found = encoder.layer(images)
    if len(found.shape) == 2:
        return found
    if config.pooling == "first":
        if len(found.shape) != 3:
            raise ConfigError(
                f"Expected pooling: first only after tokens. Received: {config.location} returns "
                f"feature maps of shape {found.shape[1:]}. Use average or statistics."
            )
        return found[:, 0]
    if len(found.shape) == 3:
        found = keras.layers.Reshape((1, *found.shape[1:]), name="tokens")(found)
    if config.pooling == "statistics":
        return ChannelStatistics(name="pooling")(found)
    return keras.layers.GlobalAveragePooling2D(dtype="float32", name="pooling")(found)
