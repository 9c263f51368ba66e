"""EfficientNet-lite: EfficientNet without squeeze-and-excitation, with ReLU6.

Architecture: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks" (2019), in the lite variants of TensorFlow's TPU model garden (2020), for CPUs and
phones. Stem and head are not scaled, nor are the first and last block group repeated more often.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

_STEM_FILTERS = 32
_HEAD_FILTERS = 1280
_NORM_EPSILON = 1e-3
_PIXEL_MEAN = 127.0
_PIXEL_SCALE = 128.0


@dataclasses.dataclass(frozen=True)
class _Group:
    repeats: int
    kernel_size: int
    strides: int
    expansion: int
    filters: int


_GROUPS = (
    _Group(1, 3, 1, 1, 16),
    _Group(2, 3, 2, 6, 24),
    _Group(2, 5, 2, 6, 40),
    _Group(3, 3, 2, 6, 80),
    _Group(3, 5, 1, 6, 112),
    _Group(4, 5, 2, 6, 192),
    _Group(1, 3, 1, 6, 320),
)


@dataclasses.dataclass(frozen=True)
class Variant:
    """How one EfficientNet-lite is scaled.

    Attributes:
        width: factor of the numbers of filters.
        depth: factor of the numbers of blocks.
    """

    width: float
    depth: float


VARIANTS: Mapping[str, Variant] = {
    "EfficientNetLite0": Variant(1.0, 1.0),
    "EfficientNetLite1": Variant(1.0, 1.1),
    "EfficientNetLite2": Variant(1.1, 1.2),
    "EfficientNetLite3": Variant(1.2, 1.4),
    "EfficientNetLite4": Variant(1.4, 1.8),
}


def efficientnet_lite(name: str, image_size: int | None = None) -> keras.Model:
    """Builds an EfficientNet-lite without its classifier, with random weights.

    Args:
        name: a key of `VARIANTS`.
        image_size: side of the images in pixels; None takes any.

    Returns:
        A model from float (batch, image_size, image_size, 3), pixels 0 to 255, to features
        (batch, image_size / 32, image_size / 32, 1280).
    """
    variant = VARIANTS[name]
    image = keras.Input((image_size, image_size, 3), name="image")
    scale, offset = 1 / _PIXEL_SCALE, -_PIXEL_MEAN / _PIXEL_SCALE
    features = keras.layers.Rescaling(scale, offset, name="rescaling")(image)
    features = _convolution(features, "conv_stem", "bn0", _STEM_FILTERS, 3, strides=2)
    block = 0
    for index, group in enumerate(_GROUPS):
        for repeat in range(_repeats(index, variant)):
            features = _block(
                features,
                f"blocks_{block}_",
                dataclasses.replace(group, strides=group.strides if repeat == 0 else 1),
                _scaled_filters(group.filters, variant.width),
            )
            block += 1
    features = _convolution(features, "conv_head", "bn1", _HEAD_FILTERS, 1)
    return keras.Model(image, features, name=name)


def stage_ends(model: keras.Model) -> list[str]:
    """Names the last layer of each stage: before the resolution halves, and before the head."""
    variant = VARIANTS[model.name]
    names = {layer.name for layer in model.layers}
    ends, blocks = [], 0
    for index in range(len(_GROUPS)):
        blocks += _repeats(index, variant)
        following = _GROUPS[index + 1 : index + 2]
        if not following or following[0].strides > 1:
            prefix = f"blocks_{blocks - 1}_"
            ends.append(prefix + ("add" if prefix + "add" in names else "bn2"))
    return [*ends, "bn1_relu"]


def load_state_dict(model: keras.Model, state: Mapping[str, np.ndarray]) -> None:
    """Sets the weights of an `efficientnet_lite` from a PyTorch state dict.

    The names are those of the PyTorch port (`_blocks.0._depthwise_conv.weight`, `_bn0.bias`,
    ...); the classifier `_fc` and counters are not used.

    Raises:
        ValueError: an array is missing, left over, or of another shape.
    """
    used = set()

    def take(layer: keras.Layer, suffix: str) -> np.ndarray:
        parts = layer.name.split("_", 2)
        prefix = f"_blocks.{parts[1]}._{parts[2]}" if parts[0] == "blocks" else f"_{layer.name}"
        key = f"{prefix}.{suffix}"
        if key not in state:
            raise ValueError(f"no array {key}")
        used.add(key)
        return state[key]

    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            # (channels, 1, height, width) to (height, width, channels, 1)
            layer.set_weights([take(layer, "weight").transpose(2, 3, 0, 1)])
        elif isinstance(layer, keras.layers.Conv2D):
            # (outputs, inputs, height, width) to (height, width, inputs, outputs)
            layer.set_weights([take(layer, "weight").transpose(2, 3, 1, 0)])
        elif isinstance(layer, keras.layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([take(layer, name) for name in names])
    ignored = ("_fc.", "num_batches_tracked")
    unused = sorted(key for key in set(state) - used if not any(part in key for part in ignored))
    if unused:
        raise ValueError(f"{len(unused)} arrays that {model.name} lacks, such as {unused[0]}")


def _repeats(index: int, variant: Variant) -> int:
    repeats = _GROUPS[index].repeats
    scaled = 0 < index < len(_GROUPS) - 1
    return math.ceil(repeats * variant.depth) if scaled else repeats


def _block(features: Any, prefix: str, group: _Group, filters: int) -> Any:
    shortcut = features
    channels = features.shape[-1]
    if group.expansion > 1:
        features = _convolution(
            features, prefix + "expand_conv", prefix + "bn0", channels * group.expansion, 1
        )
    features = keras.layers.DepthwiseConv2D(
        group.kernel_size,
        strides=group.strides,
        padding="same",
        use_bias=False,
        name=prefix + "depthwise_conv",
    )(features)
    features = _normalized(features, prefix + "bn1")
    features = _convolution(
        features, prefix + "project_conv", prefix + "bn2", filters, 1, activated=False
    )
    if group.strides == 1 and filters == channels:
        features = keras.layers.Add(name=prefix + "add")([shortcut, features])
    return features


def _convolution(
    features: Any,
    name: str,
    norm_name: str,
    filters: int,
    kernel_size: int,
    strides: int = 1,
    activated: bool = True,
) -> Any:
    features = keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding="same", use_bias=False, name=name
    )(features)
    return _normalized(features, norm_name, activated)


def _normalized(features: Any, name: str, activated: bool = True) -> Any:
    layer = keras.layers.BatchNormalization(epsilon=_NORM_EPSILON, name=name)
    features = layer(features)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(features) if activated else features


def _scaled_filters(filters: int, width: float, divisor: int = 8) -> int:
    scaled = filters * width
    rounded = max(divisor, int(scaled + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * scaled else rounded
