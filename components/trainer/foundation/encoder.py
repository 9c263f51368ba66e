"""What the readers of models return: layers that hold a frozen network or function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from components.support.errors import ConfigError
from components.support.suggestions import did_you_mean
from components.support.texts import first_few, shortened
from components.trainer.foundation.config import FoundationModel, Pixels

_CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A frozen network that takes square images.

    Attributes:
        layer: float32 (batch, side, side, 3) to a vector, tokens or feature maps, float32.
        side: in pixels.
        pixels: what its own preprocessing does to pixels, if that is stored beside it.
    """

    layer: keras.layers.Layer
    side: int
    pixels: Pixels | None = None


class FrozenNetwork(keras.layers.Layer):
    """A Keras network, always as at inference, whatever it is part of.

    Args:
        network: has one input and one output.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__(name="network", dtype="float32", trainable=False)
        network.trainable = False
        self.network = network

    def call(self, images: Any) -> Any:
        given = _as_dtype(images, self.network.inputs[0].dtype)
        return keras.ops.cast(self.network(given, training=False), "float32")


class FrozenFunction(keras.layers.Layer):
    """A function of a SavedModel, with the variables that it uses.

    Args:
        function: takes images under the name of `image` and returns outputs by name.
        image: name, shape and dtype of its input.
        output: name of the output to use.
        output_shape: of one image.
        variables: those that the function uses.
        resources: what else it uses, such as tables: an export must track them.
    """

    def __init__(
        self,
        function: Callable[..., Mapping[str, tf.Tensor]],
        image: tf.TensorSpec,
        output: str,
        output_shape: Sequence[int],
        variables: Sequence[tf.Variable],
        resources: Sequence[Any],
    ) -> None:
        super().__init__(name="function", dtype="float32", trainable=False)
        self.supports_jit = False  # XLA refuses tables and bicubic resizing, for example
        self._function = function
        self._image = image
        self._output = output
        self._shape = tuple(output_shape)
        self.resources = list(resources)
        self._variables_of_function = [
            keras.Variable(
                variable,
                trainable=False,
                dtype=variable.dtype.name,
                name=variable.name.partition(":")[0].replace("/", "_"),
            )
            for variable in variables
        ]

    def build(self, input_shape: Any) -> None:
        """Does nothing: the variables exist."""

    def call(self, images: Any) -> Any:
        given = _as_dtype(images, self._image.dtype.name)
        found = self._function(**{self._image.name: given})[self._output]
        return tf.ensure_shape(tf.cast(found, tf.float32), (None, *self._shape))

    def compute_output_spec(self, images: Any) -> Any:
        return keras.KerasTensor((images.shape[0], *self._shape), "float32")


def function_resources(network: keras.Model) -> list[Any]:
    """Returns what an export of the network must track besides the variables of its layers."""
    found: list[Any] = []
    for layer in network.layers:
        if isinstance(layer, FrozenFunction):
            found += layer.resources
        elif isinstance(layer, keras.Model):
            found += function_resources(layer)
    return found


def check_image_input(
    config: FoundationModel, what: str, shape: Sequence[int | None], dtype: str, side: int
) -> int:
    """Returns the side of the images that an input takes.

    Args:
        config: names the model; its `image_size` counts if the input takes any size.
        what: the input, for messages.
        shape: of the input, with the batch; None where any size will do.
        dtype: of the input.
        side: what to take if nothing else decides.

    Raises:
        ConfigError: it does not take a batch of square RGB images, or takes them in another size
            than `config.image_size`.
    """
    expected = f"Expected {what} to take images (batch, side, side, 3) of numbers."
    is_number = dtype.startswith(("float", "bfloat", "int", "uint"))
    if len(shape) != 4 or not is_number:
        raise ConfigError(f"{expected} Received: shape {tuple(shape)}, {dtype}.")
    batch, height, width, channels = shape
    if batch is not None:
        raise ConfigError(
            f"{expected} Received: shape {tuple(shape)}, so always {batch} at a time."
        )
    if channels not in (None, _CHANNELS):
        hint = " Wrap it in a model that moves the channels." if height == _CHANNELS else ""
        raise ConfigError(f"{expected} Received: shape {tuple(shape)}.{hint}")
    fixed = {size for size in (height, width) if size is not None}
    if len(fixed) > 1:
        raise ConfigError(f"{expected} Received: shape {tuple(shape)}, which is no square.")
    if not fixed:
        return config.image_size or side
    (own,) = fixed
    if config.image_size not in (None, own):
        raise ConfigError(
            f"Expected backbone.image_size to be {own}, the only size that {what} takes. "
            f"Received: {config.image_size}."
        )
    return own


def pick_output(config: FoundationModel, what: str, names: Sequence[str]) -> str:
    """Returns the name of the output to use.

    Raises:
        ConfigError: `config.output` names none, or is not given though there are several.
    """
    if config.output is None and len(names) == 1:
        return names[0]
    if config.output is not None and config.output in names:
        return config.output
    received = "nothing" if config.output is None else repr(config.output)
    raise ConfigError(
        f"Expected backbone.output to name an output of {what}: {first_few(names)}. "
        f"Received: {received}.{did_you_mean(config.output or '', names)}"
    )


def unreadable(
    config: FoundationModel, expected: str, error: Exception, remedy: str
) -> ConfigError:
    """Returns the error for a model that a library cannot read."""
    first, *_ = str(error).strip().splitlines() or ["no message"]
    reason = shortened(f"{type(error).__name__}: {first}").rstrip(".")
    return ConfigError(
        f"Expected backbone.{config.kind} to be {expected}. Received: {config.location} "
        f"({reason}). {remedy}"
    )


def _as_dtype(images: Any, dtype: str) -> Any:
    if "float" not in dtype:
        images = keras.ops.round(images)
    return keras.ops.cast(images, dtype)
