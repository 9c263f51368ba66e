"""The style of an image: mean and standard deviation of each channel of its feature maps."""

from __future__ import annotations

from typing import Any

import keras

_TINY = 1e-5


@keras.saving.register_keras_serializable(package="covers")
class ChannelStatistics(keras.layers.Layer):
    """Mean and standard deviation of each channel: (batch, h, w, channels) to (batch, 2 channels).

    What remains of an image is its style: Gatys, Ecker and Bethge, "Image Style Transfer Using
    Convolutional Neural Networks" (2016), and Huang and Belongie (2017), who found that these two
    numbers of a channel hold most of it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, maps: Any) -> Any:
        mean = keras.ops.mean(maps, axis=(1, 2))
        variance = keras.ops.var(maps, axis=(1, 2))
        return keras.ops.concatenate([mean, keras.ops.sqrt(variance + _TINY)], axis=-1)
