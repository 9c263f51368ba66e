"""Where on an image the channels of feature maps are strong: what composition is made of."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

PARTS = 3


@keras.saving.register_keras_serializable(package="covers")
class ChannelLayout(keras.layers.Layer):
    """Mean of each channel in each of 3 x 3 parts: (batch, h, w, n) to (batch, 9 n).

    Rows and columns that lie in two parts count in both, by their share, as in the pyramids of
    Lazebnik, Schmid and Ponce, "Beyond Bags of Features" (2006), which find scenes by their layout.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, maps: Any) -> Any:
        height, width, channels = maps.shape[1:]
        rows = keras.ops.einsum("ph,bhwc->bpwc", shares(height), maps)
        parts = keras.ops.einsum("qw,bpwc->bpqc", shares(width), rows)
        return keras.ops.reshape(parts, (-1, PARTS * PARTS * channels))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape[0], PARTS * PARTS * int(input_shape[-1] or 0)


def shares(length: int) -> np.ndarray:
    """Returns what each place counts in each part: float32, shape (parts, length), rows sum to 1.

    Places are intervals of one; a part is the interval of a third of the length.
    """
    ends = np.arange(PARTS + 1)[:, None] * length / PARTS
    places = np.arange(length)[None]
    overlap = np.minimum(ends[1:], places + 1) - np.maximum(ends[:-1], places)
    return (np.maximum(overlap, 0.0) * PARTS / length).astype(np.float32)
