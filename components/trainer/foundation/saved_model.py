"""Reads one signature of a TensorFlow SavedModel as a frozen encoder.

A SavedModel is code: its graph runs with the rights of whoever loads it (SECURITY.md).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.contracts.files import SAVED_MODEL_FILE
from components.support.errors import ConfigError
from components.support.suggestions import did_you_mean
from components.support.texts import first_few
from components.trainer.foundation.config import FoundationModel
from components.trainer.foundation.encoder import (
    Encoder,
    FrozenFunction,
    check_image_input,
    pick_output,
    unreadable,
)
from components.trainer.foundation.files import local_path

_REMEDY = "Export it with tf.saved_model.save or, from Keras, with model.export."


def read_saved_model(config: FoundationModel, side: int) -> Encoder:
    """Loads the signature `config.signature`, and tries it on one black image.

    Args:
        config: where it is, which signature and output.
        side: of the images if the signature takes any size and the configuration names none.

    Raises:
        ConfigError: it is absent, damaged or has no such signature; or the signature does not take
            images alone, or does not return numbers for each of them.
    """
    path = local_path(config)
    if not (path / SAVED_MODEL_FILE).is_file():
        raise ConfigError(
            f"Expected backbone.saved_model to be the folder of a SavedModel. Received: "
            f"{config.location}, without {SAVED_MODEL_FILE}. {_REMEDY}"
        )
    try:
        loaded = _load(path)
        signatures = dict(loaded.signatures)
    except Exception as error:  # whatever TensorFlow makes of bytes that are no model
        raise unreadable(config, "an undamaged SavedModel", error, _REMEDY) from error
    function = signatures.get(config.signature)
    if function is None:
        raise ConfigError(
            f"Expected backbone.signature to be one of those of {config.location}: "
            f"{first_few(signatures) or 'it has none'}. Received: {config.signature!r}."
            f"{did_you_mean(config.signature, signatures)}"
        )
    what = f"the signature {config.signature} of {config.location}"
    image = _image_input(what, function)
    shape = image.shape.as_list() if image.shape.rank is not None else [None] * 4
    side = check_image_input(config, what, shape, image.dtype.name, side)
    output = pick_output(config, what, sorted(function.structured_outputs))
    trial = _try(what, function, image, output, side)
    if trial.shape.rank not in (2, 3, 4) or trial.shape[0] != 1 or not trial.dtype.is_floating:
        raise ConfigError(
            f"Expected {what} to return a vector, tokens or feature maps for each image. "
            f"Received: {output}, of shape {tuple(trial.shape)} and {trial.dtype.name} for one "
            "image."
        )
    layer = FrozenFunction(
        function, image, output, trial.shape[1:], function.variables, _resources(loaded)
    )
    return Encoder(layer, side)


def _load(path: Path) -> Any:
    """Loads a SavedModel beyond the reach of a distribution strategy, whose scope is a thread's.

    Within it, functions of SavedModels run on no replica of `MirroredStrategy`.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(tf.saved_model.load, str(path)).result()


def _image_input(what: str, function: Any) -> tf.TensorSpec:
    positional, named = function.structured_input_signature
    inputs = [*positional, *(named[name] for name in sorted(named))]
    if len(inputs) != 1:
        listed = first_few(f"{each.name} {each.shape}" for each in inputs) or "none"
        raise ConfigError(f"Expected {what} to have one input, the images. Received: {listed}.")
    (image,) = inputs
    return tf.TensorSpec(image.shape, image.dtype, name=next(iter(named), image.name))


def _try(what: str, function: Any, image: tf.TensorSpec, output: str, side: int) -> tf.Tensor:
    try:
        return function(**{image.name: tf.zeros([1, side, side, 3], image.dtype)})[output]
    except Exception as error:  # whatever the operations of a user's model raise
        first, *_ = str(error).strip().splitlines() or ["no message"]
        raise ConfigError(
            f"Expected {what} to take images ({side}, {side}, 3). Received: "
            f"{type(error).__name__}: {first} If it takes another size, set backbone.image_size."
        ) from error


def _resources(loaded: Any) -> list[Any]:
    """Returns the tables and files of a loaded model: what its functions use beside variables."""
    kinds = (tf.saved_model.experimental.TrackableResource, tf.saved_model.Asset)
    return [
        each for each in tf.train.TrackableView(loaded).descendants() if isinstance(each, kinds)
    ]
