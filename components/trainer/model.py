"""The Keras model, built from a TrainerConfig."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from components.support.compat import has_no_output_left
from components.support.errors import ConfigError
from components.support.suggestions import did_you_mean
from components.trainer.backbone import build_backbones
from components.trainer.channel_statistics import ChannelStatistics
from components.trainer.config import NO_WEIGHTS, Backbone, TrainerConfig, name_and_kwargs
from components.trainer.metrics import training_metrics
from components.trainer.optimization import make_loss, make_optimizer
from components.trainer.precision import float32_policy, training_policy

_CHANNELS = 3
_OWN_LAYERS = {ChannelStatistics.__name__: ChannelStatistics}


class AugmentedModel(keras.Model):
    """A network whose input is augmented in training, and in training only.

    Validation and export use `network` alone, so what is measured is what is served. An
    augmentation may change the image's size where the network's layers take any size.

    Args:
        network: the model to serve: float32 (batch, size, size, 3) to (batch, genres).
        augmentation: layers applied in order to the images.
    """

    def __init__(self, network: keras.Model, augmentation: Sequence[keras.Layer] = ()) -> None:
        super().__init__(name="covers")
        self.network = network
        self.augmentation = list(augmentation)

    def call(self, images: Any, training: bool = False) -> Any:
        """Maps uint8 or float images, 0 to 255, to probabilities (batch, genres)."""
        if not training or not self.augmentation:
            return self.network(images)
        features = keras.ops.cast(images, "float32")
        for layer in [*self.augmentation, *self.network.layers[1:]]:
            features = layer(features)
        return features


def build_model(
    config: TrainerConfig, num_genres: int, label_prior: np.ndarray | None = None
) -> AugmentedModel:
    """Builds the uncompiled model and sets all random seeds from `config.seed`.

    Args:
        config: names backbone, layers, augmentation and precision.
        num_genres: size of the output layer, "probabilities" (Dense, sigmoid).
        label_prior: float, shape (num_genres,): each genre's share of the train split, strictly
            between 0 and 1; what `output_bias: prior` starts from. None leaves the start random.

    Raises:
        ConfigError: a layer is unknown, refuses its arguments or its input, or leaves less
            than one pixel of the image (the message names its index); or the backbone is not
            available.
    """
    keras.utils.set_random_seed(config.seed)
    with training_policy(config.precision):
        return _build_model(config, num_genres, label_prior)


def serving_network(model: AugmentedModel, config: TrainerConfig) -> keras.Model:
    """Returns the network in float32, with the weights of the trained one."""
    if all(layer.dtype_policy.name == "float32" for layer in model.network.layers):
        return model.network
    num_genres = model.network.output_shape[-1]
    with float32_policy():
        network = _build_model(without_pretrained_weights(config), num_genres, None).network
    network.set_weights(model.network.get_weights())
    return network


def without_pretrained_weights(config: TrainerConfig) -> TrainerConfig:
    """Returns the configuration of the same network, to be filled with weights afterwards.

    What is read from a file is read again: the file says what the network is.
    """
    backbones = tuple(
        each.model_copy(update={"weights": NO_WEIGHTS}) if isinstance(each, Backbone) else each
        for each in config.backbone
    )
    return config.model_copy(update={"backbone": backbones})


def _build_model(
    config: TrainerConfig, num_genres: int, label_prior: np.ndarray | None
) -> AugmentedModel:
    body = _make_layers("layers", _same_at_all_workers(config), config.seed + 1000)
    if config.backbone:
        names = ", ".join(each.name for each in config.backbone)
        body.insert(0, (f"backbone ({names})", build_backbones(config.backbone, config.image_size)))
    augmentation = _make_layers("augmentation", config.augmentation, config.seed + 1)
    head = keras.layers.Dense(
        num_genres, activation="sigmoid", dtype="float32", name="probabilities"
    )
    image = keras.Input((config.image_size, config.image_size, _CHANNELS), name="image")
    network = keras.Model(image, _apply_body(body, head, image), name="network")
    if augmentation:
        augmented = image
        for place, layer in augmentation:
            augmented = _apply(place, layer, augmented)
        if len(augmented.shape) != 4 or augmented.shape[-1] != _CHANNELS:
            raise ConfigError(
                "Expected augmentation to give images of 3 channels. "
                f"Received: output shape {augmented.shape[1:]}."
            )
        suffix = f", on covers augmented to {augmented.shape[1:]},"
        _apply_body([(place + suffix, layer) for place, layer in body], head, augmented)
    if label_prior is not None and config.output_bias == "prior":
        head.kernel.assign(np.zeros(head.kernel.shape))
        if config.class_weights == "none":  # Balanced genres have a prior of one half.
            head.bias.assign(np.log(label_prior / (1.0 - label_prior)))
    return AugmentedModel(network, [layer for _, layer in augmentation])


def _same_at_all_workers(config: TrainerConfig) -> tuple[dict[str, dict[str, Any]], ...]:
    """Returns the layers, with batch normalisation over the whole batch and not over a part."""
    if config.workers == 1:
        return config.layers
    name = keras.layers.BatchNormalization.__name__
    return tuple(
        {name: {"synchronized": True, **spec[name]}} if name in spec else spec
        for spec in config.layers
    )


def make_augmentation(config: TrainerConfig) -> list[keras.Layer]:
    """Builds the augmentation by itself, with its own random generators.

    Raises:
        ConfigError: a layer is unknown or refuses its arguments.
    """
    layers = _make_layers("augmentation", config.augmentation, config.seed + 1)
    return [layer for _, layer in layers]


def compile_model(
    model: AugmentedModel,
    config: TrainerConfig,
    steps_per_epoch: int,
    label_prior: np.ndarray | None = None,
) -> None:
    """Attaches optimizer, loss and metrics.

    Args:
        model: what `build_model` built.
        config: names them.
        steps_per_epoch: steps of the learning-rate schedule's epoch.
        label_prior: float, shape (genres,): what balanced class weights follow from.

    Raises:
        ConfigError: the optimizer or loss is unknown or refuses its arguments.
    """
    num_genres = model.network.output_shape[-1]
    model.compile(
        optimizer=make_optimizer(config, steps_per_epoch),
        loss=make_loss(config, label_prior),
        metrics=training_metrics(num_genres, config.metric_threshold),
        jit_compile=False,  # XLA is slower on CPUs, and augmentation layers do not compile.
    )


def build_training_variables(model: AugmentedModel) -> None:
    """Creates the variables of optimizer and metrics, which Keras makes in the first step only."""
    model.optimizer.build(model.trainable_variables)
    nothing = keras.ops.zeros((1, model.network.output_shape[-1]))
    model.compute_metrics(None, nothing, nothing)
    model.reset_metrics()


def check_buildable(config: TrainerConfig, num_genres: int) -> None:
    """Builds the model and trains it on one blank batch, to fail before a run and not during it.

    Of a network that trains on the features of a frozen backbone, the layers after it are trained.

    Raises:
        ConfigError: the configuration cannot be built or trained.
    """
    prior = np.full(num_genres, 0.5)
    model = build_model(config, num_genres, prior)
    inputs = np.zeros((2, config.image_size, config.image_size, _CHANNELS), np.uint8)
    if config.trains_on_features:
        from components.trainer.head import split_at_features

        head = split_at_features(model.network)[1]
        model, inputs = AugmentedModel(head), np.zeros((2, *head.input_shape[1:]), np.float32)
    compile_model(model, config, 100, prior)
    model.run_eagerly = True  # one batch takes less than to trace a graph for it
    labels = np.eye(num_genres, dtype=np.float32)[:2]
    try:
        model.train_on_batch(inputs, labels)
    except Exception as error:  # Whatever a user's layer or loss raises is a configuration error.
        raise ConfigError(
            f"Expected layers and loss to train on a batch of inputs {inputs.shape} and labels "
            f"{labels.shape}. Received: {type(error).__name__}: {_first_line(error)}"
        ) from error
    finally:
        keras.utils.clear_session()


def _make_layers(
    field: str, specs: Sequence[dict[str, dict[str, Any]]], seed: int
) -> list[tuple[str, keras.Layer]]:
    layers = []
    for index, spec in enumerate(specs):
        name, kwargs = name_and_kwargs(spec)
        place = f"{field}[{index}] ({name})"
        layer_class = _OWN_LAYERS.get(name) or getattr(keras.layers, name, None)
        if not inspect.isclass(layer_class) or not issubclass(layer_class, keras.Layer):
            raise ConfigError(
                f"Expected {field}[{index}] to name a layer of keras.layers, or "
                f"{', '.join(_OWN_LAYERS)}. "
                f"Received: {name!r}.{did_you_mean(name, [*_OWN_LAYERS, *dir(keras.layers)])}"
            )
        defaults: dict[str, Any] = {"name": f"{field}_{index}_{name.lower()}"}
        if "seed" in inspect.signature(layer_class).parameters:
            defaults["seed"] = seed + index
        try:
            layers.append((place, layer_class(**{**defaults, **kwargs})))
        except Exception as error:  # Layers raise many types for arguments they do not take.
            raise ConfigError(
                f"Expected {place} to take the arguments {kwargs}. Received: {_first_line(error)}"
            ) from error
    return layers


def _apply_body(body: list[tuple[str, keras.Layer]], head: keras.Layer, image: Any) -> Any:
    features = image
    for place, layer in body:
        features = _apply(place, layer, features)
    if len(features.shape) != 2:
        raise ConfigError(
            "Expected layers to end in one vector per image, by Flatten or "
            f"GlobalAveragePooling2D. Received: output shape {features.shape[1:]}."
        )
    return _apply("the output layer", head, features)


def _apply(place: str, layer: keras.Layer, features: Any) -> Any:
    before = features.shape[1:]
    try:
        output = layer(features)
    except Exception as error:  # Layers raise many types for inputs they do not take.
        reason = _first_line(error)
        if has_no_output_left(reason):
            raise _too_small(place, before, reason) from error
        raise ConfigError(
            f"Expected {place} to take an input of shape {before}. Received: {reason}"
        ) from error
    after = output.shape[1:]
    if any(size is not None and size < 1 for size in after):
        raise _too_small(place, before, f"output shape {after}.")
    return output


def _too_small(place: str, before: tuple[int, ...], received: str) -> ConfigError:
    return ConfigError(
        f"Expected {place} to leave at least 1 px of its input of shape {before}. "
        f"Received: {received} Use a larger image_size or fewer layers that shrink the image."
    )


def _first_line(error: Exception) -> str:
    """Returns the line that says what is wrong, without Keras's wrapping and its colours."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Exception encountered")] or lines
    return lines[0] if lines else type(error).__name__
