"""How the channels of feature maps go together: what style is made of."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

_TINY = 1e-5


@keras.saving.register_keras_serializable(package="covers")
class ChannelCorrelations(keras.layers.Layer):
    """Correlation of each pair of channels: (batch, h, w, n) to (batch, n (n - 1) / 2).

    Over the places of an image, whatever is where. Gatys, Ecker and Bethge, "Image Style Transfer
    Using Convolutional Neural Networks" (2016), describe style by the products of channels; Lin,
    RoyChowdhury and Maji, "Bilinear CNN Models for Fine-grained Visual Recognition" (2015),
    classify by them. A channel that is the same everywhere correlates with none.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, maps: Any) -> Any:
        channels = maps.shape[-1]
        values = maps - keras.ops.mean(maps, axis=(1, 2), keepdims=True)
        lengths = keras.ops.sqrt(keras.ops.sum(values**2, axis=(1, 2), keepdims=True) + _TINY)
        values = values / lengths
        products = keras.ops.einsum("bhwi,bhwj->bij", values, values)
        rows, columns = np.triu_indices(channels, 1)
        flat = keras.ops.reshape(products, (-1, channels * channels))
        return keras.ops.take(flat, rows * channels + columns, axis=1)
