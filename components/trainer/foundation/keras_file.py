"""Reads a `.keras` file as a frozen encoder, without running code from it."""

from __future__ import annotations

from typing import Any

import keras

from components.support.errors import ConfigError
from components.trainer.foundation.config import FoundationModel
from components.trainer.foundation.encoder import (
    Encoder,
    FrozenNetwork,
    check_image_input,
    pick_output,
    unreadable,
)
from components.trainer.foundation.files import local_path

_SUFFIX = ".keras"
_REMEDIES = {
    ("Lambda", "unsafe", "safe_mode"): "Code in a file is not run: replace Lambda layers by layers "
    "of Keras, or export the model as a SavedModel.",
    ("Could not locate", "Unknown layer", "cannot be imported"): "Only layers of Keras are known "
    "here: export a model with layers of its own as a SavedModel.",
}


def read_keras_file(config: FoundationModel, side: int) -> Encoder:
    """Loads a `.keras` file in Keras's safe mode.

    Args:
        config: where it is, and which output or layer.
        side: of the images if the network takes any size and the configuration names none.

    Raises:
        ConfigError: it is absent or damaged; it needs code that is not part of Keras; or the
            network does not take images alone.
    """
    path = local_path(config)
    if path.suffix != _SUFFIX or not path.is_file():
        raise ConfigError(
            f"Expected backbone.keras to be a *{_SUFFIX} file, as model.save writes it. "
            f"Received: {config.location}."
        )
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever Keras makes of a file and of the layers named in it
        text = str(error)
        remedy = next(
            (advice for signs, advice in _REMEDIES.items() if any(sign in text for sign in signs)),
            f"Save it again with Keras {keras.__version__} or older.",
        )
        raise unreadable(config, "a file that Keras can load", error, remedy) from error
    return as_encoder(config, model, side)


def as_encoder(config: FoundationModel, model: Any, side: int) -> Encoder:
    """Returns a Keras network, up to the output that is configured, as an encoder.

    Args:
        config: names the network and its output.
        model: a functional or sequential network, or one made of these.
        side: see `read_keras_file`.

    Raises:
        ConfigError: the network does not take images alone, or has no such output.
    """
    what = f"the network in {config.location}"
    inputs = getattr(model, "inputs", None)
    if not isinstance(model, keras.Model) or not inputs:
        raise ConfigError(
            f"Expected {what} to be a functional or sequential model. "
            f"Received: {type(model).__name__}."
        )
    if len(inputs) != 1:
        listed = ", ".join(f"{each.name} {each.shape}" for each in inputs)
        raise ConfigError(f"Expected {what} to have one input, the images. Received: {listed}.")
    (image,) = inputs
    side = check_image_input(config, what, image.shape, image.dtype, side)
    if isinstance(model, keras.Sequential):
        model = keras.Model(image, model.outputs[0])
    network = keras.Model(image, _output(config, what, model), name="encoder")
    rank = len(network.output.shape)
    if rank not in (2, 3, 4) or "float" not in network.output.dtype:
        raise ConfigError(
            f"Expected {what} to return a vector, tokens or feature maps for each image. "
            f"Received: shape {network.output.shape}, {network.output.dtype}."
        )
    return Encoder(FrozenNetwork(network), side)


def _output(config: FoundationModel, what: str, model: keras.Model) -> Any:
    names = list(model.output_names)
    layers = [layer.name for layer in model.layers if layer.name not in names]
    if config.output is None or config.output not in layers:
        name = pick_output(config, what, names if config.output is None else [*names, *layers])
        return model.outputs[names.index(name)]
    found = _made_by(config.output, model)
    if len(found) != 1:
        raise ConfigError(
            f"Expected backbone.output to name a layer of {what} with one output, used once. "
            f"Received: {config.output!r}, with {len(found)}. Name a layer after it."
        )
    return found[0]


def _made_by(layer: str, model: keras.Model) -> list[Any]:
    """Returns what a layer makes in a network: a layer's `output` may be another network's."""
    found: dict[int, Any] = {}
    waiting = list(model.outputs)
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in found:
            found[id(tensor)] = tensor
            made = tensor._keras_history
            waiting += made.operation._inbound_nodes[made.node_index].input_tensors
    return [each for each in found.values() if each._keras_history.operation.name == layer]
