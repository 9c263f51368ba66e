from __future__ import annotations

import keras
import numpy as np
import pytest

from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from components.trainer.model import build_model, check_buildable, compile_model

ORIGINAL_AUGMENTATION = [
    {"RandomFlip": {"mode": "horizontal_and_vertical"}},
    {"RandomRotation": {"factor": 0.4}},
    {"RandomZoom": {"height_factor": [0.2, 0.6]}},
]


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)


def test_the_original_network():
    network = build_model(TrainerConfig(), 5).network
    assert [(type(layer).__name__, tuple(layer.output.shape[1:])) for layer in network.layers] == [
        ("InputLayer", (150, 150, 3)),
        ("Rescaling", (150, 150, 3)),
        ("Conv2D", (148, 148, 32)),
        ("MaxPooling2D", (74, 74, 32)),
        ("Conv2D", (72, 72, 64)),
        ("MaxPooling2D", (36, 36, 64)),
        ("Conv2D", (34, 34, 128)),
        ("MaxPooling2D", (17, 17, 128)),
        ("Conv2D", (15, 15, 128)),
        ("MaxPooling2D", (7, 7, 128)),
        ("Flatten", (6272,)),
        ("Dense", (512,)),
        ("Dense", (5,)),
    ]
    assert network.count_params() == 3_455_173
    assert network.get_layer("probabilities").activation is keras.activations.sigmoid


def test_the_original_augmentation_trains():
    check_buildable(TrainerConfig(image_size=64, augmentation=ORIGINAL_AUGMENTATION), 5)


def test_augmentation_acts_in_training_only(small_config, images):
    flips = {"layers": ({"Flatten": {}},), "augmentation": ({"RandomFlip": {}},)}
    model = build_model(small_config.model_copy(update=flips), 3)
    served = model.network(images)
    np.testing.assert_array_equal(model(images, training=False), served)
    np.testing.assert_array_equal(model(images), served)
    assert not np.allclose(model(images, training=True), served)


def test_augmentation_may_change_the_size_and_shares_weights(small_config, images):
    model = build_model(small_config, 3)
    assert not np.allclose(model(images, training=True), model.network(images, training=True))
    assert {id(weight) for weight in model.network.trainable_weights} == {
        id(weight) for weight in model.trainable_weights
    }


def test_channel_statistics_are_a_layer_like_those_of_keras(small_config, images):
    layers = ({"Rescaling": {"scale": 1 / 255}}, {"ChannelStatistics": {}})
    config = small_config.model_copy(update={"layers": layers, "augmentation": ()})
    model = build_model(config, 3)
    values = keras.Model(model.network.input, model.network.layers[-2].output)(images).numpy()
    pixels = images / 255
    expected = np.concatenate([pixels.mean(axis=(1, 2)), pixels.std(axis=(1, 2))], axis=1)
    np.testing.assert_allclose(values, expected, atol=1e-4)


def test_outputs_are_probabilities(small_config, images):
    probabilities = build_model(small_config, 3).network(images).numpy()
    assert probabilities.shape == (4, 3)
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_output_bias_starts_at_the_prior(small_config):
    prior = np.array([0.1, 0.5, 0.8])
    network = build_model(small_config, 3, prior).network
    bias = network.get_layer("probabilities").bias.numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), prior, rtol=1e-5)
    unset = build_model(small_config, 3).network.get_layer("probabilities")
    np.testing.assert_array_equal(unset.bias, np.zeros(3))


def test_the_seed_fixes_weights_augmentation_and_dropout(small_config, images):
    first, again = build_model(small_config, 3), build_model(small_config, 3)
    other = build_model(small_config.model_copy(update={"seed": 1}), 3)
    output = first(images, training=True)
    np.testing.assert_allclose(output, again(images, training=True), atol=1e-6)
    assert not np.allclose(output, other(images, training=True))


def test_learning_rate_warms_up_then_falls(small_config):
    model = build_model(small_config.model_copy(update={"epochs": 10}), 3)
    compile_model(model, small_config.model_copy(update={"epochs": 10}), steps_per_epoch=10)
    schedule = model.optimizer._learning_rate
    rates = [float(schedule(step)) for step in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(rates, [0, 0.005, 0.01, 0.005, 0], atol=1e-6)


@pytest.mark.parametrize(
    "loss", ["binary_crossentropy", {"BinaryFocalCrossentropy": {"gamma": 1.0}}]
)
def test_buildable_losses(small_config, loss):
    check_buildable(TrainerConfig.model_validate({**small_config.model_dump(), "loss": loss}), 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ["Flaten"]}, r"layers\[0\] .* Received: 'Flaten'. Did you mean Flatten"),
        ({"layers": ["Flatten", "Input"]}, r"layers\[1\] to name a layer"),
        ({"layers": ["ChannelStatistic"]}, r"Did you mean ChannelStatistics"),
        ({"layers": [{"Dense": {"unit": 8}}]}, r"layers\[0\] \(Dense\) to take the arguments"),
        ({"layers": [{"Dense": {"units": "many"}}]}, r"layers\[0\] \(Dense\)"),
        ({"layers": ["Flatten", {"Conv2D": {"filters": 4, "kernel_size": 3}}]}, r"layers\[1\]"),
        ({"layers": [{"MaxPooling2D": {"pool_size": 10}}] * 2}, r"layers\[1\] .* at least 1 px"),
        ({"layers": [{"Conv2D": {"filters": 2, "kernel_size": 49}}, "Flatten"]}, "at least 1 px"),
        ({"layers": ["ReLU"]}, "one vector per image"),
        ({"layers": [], "augmentation": []}, "one vector per image"),
        ({"augmentation": ["RandomFlop"]}, r"augmentation\[0\] .* Did you mean RandomFlip"),
        ({"augmentation": ["Flatten"]}, "images of 3 channels"),
        (
            {"layers": ["Flatten", {"Dense": {"units": 2}}]},
            r"layers\[1\] \(Dense\), on covers augmented to \(40, 40, 3\), to take",
        ),
        ({"optimizer": "Adm"}, "Received: 'Adm'. Did you mean Adam"),
        ({"optimizer": {"Adam": {"rate": 1}}}, "Adam to take the arguments"),
        ({"optimizer": {"Adam": {"learning_rate": "fast"}}}, "Adam to take the arguments"),
        ({"loss": "crossentropy"}, "Expected loss to name a loss"),
        ({"loss": {"BinaryFocalCrossentropy": {"gama": 1}}}, "Expected loss to name a loss"),
        ({"loss": "sparse_categorical_crossentropy"}, "to train on a batch"),
    ],
)
def test_what_cannot_be_built_is_a_config_error(small_config, changes, message):
    config = TrainerConfig.model_validate({**small_config.model_dump(), **changes})
    with pytest.raises(ConfigError, match=message) as caught:
        check_buildable(config, 3)
    assert "Expected" in str(caught.value) and "Received: " in str(caught.value)
