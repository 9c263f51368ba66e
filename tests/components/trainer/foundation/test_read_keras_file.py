"""`.keras` files as backbones: nothing in them is run, and what cannot be used is said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from components.trainer.head import split_at_features
from components.trainer.model import AugmentedModel, build_model

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def network(side: int | None = 32, rate: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((side, side, 3), name="image")
    maps = keras.layers.Conv2D(4, 3, strides=2, name="convolution")(image)
    maps = keras.layers.BatchNormalization(name="norm")(maps)
    vector = keras.layers.GlobalAveragePooling2D(name="vector")(maps)
    vector = keras.layers.Dropout(rate, name="dropout")(vector)
    return keras.Model(image, keras.layers.Dense(7, "softmax", name="classes")(vector))


def save(model: keras.Model, folder: Path) -> str:
    model.save(folder / "model.keras")
    return str(folder / "model.keras")


def build(image_size: int = 32, **backbone: Any) -> AugmentedModel:
    config = TrainerConfig.from_fields(
        {"backbone": backbone, "image_size": image_size, "layers": ["ReLU"]}
    )
    return build_model(config, 2)


def extract(**given: Any) -> np.ndarray:
    return np.asarray(split_at_features(build(**given).network)[0](IMAGES))


def test_the_output_or_the_layer_that_is_named_is_used(tmp_path: Path) -> None:
    model = network()
    file = save(model, tmp_path)
    np.testing.assert_allclose(extract(keras=file), model(IMAGES), atol=1e-6)
    vector = keras.Model(model.input, model.get_layer("vector").output)(IMAGES)
    np.testing.assert_allclose(extract(keras=file, output="vector"), vector, rtol=1e-4)
    np.testing.assert_allclose(extract(keras=file, output="norm"), vector, rtol=1e-4)
    with pytest.raises(ConfigError, match=r"Received: 'clases'\. Did you mean classes"):
        build(keras=file, output="clases")


def _sequential() -> keras.Model:
    return keras.Sequential(network().layers)


def _around_a_network() -> keras.Model:
    image = keras.Input((32, 32, 3))
    body = network()
    inner = keras.Model(body.input, body.get_layer("vector").output, name="vector")
    keras.utils.set_random_seed(2)
    return keras.Sequential([image, inner, keras.layers.Dense(7, "softmax", name="classes")])


def _around_a_sequence() -> keras.Model:
    image = keras.Input((32, 32, 3))
    body = keras.Sequential(network().layers[:-2], name="vector")
    return keras.Model(image, keras.layers.Dense(7, "softmax", name="classes")(body(image)))


@pytest.mark.parametrize("make", [_sequential, _around_a_network, _around_a_sequence])
def test_sequences_and_networks_of_networks_are_read(tmp_path: Path, make: Any) -> None:
    model = make()
    file = save(model, tmp_path)
    np.testing.assert_allclose(extract(keras=file), model(IMAGES), atol=1e-6)
    np.testing.assert_allclose(extract(keras=file, output="classes"), model(IMAGES), atol=1e-6)
    body = network()
    vector = keras.Model(body.input, body.get_layer("vector").output)(IMAGES)
    np.testing.assert_allclose(extract(keras=file, output="vector"), vector, rtol=1e-4)
    with pytest.raises(ConfigError, match=r"Received: 'clases'\. Did you mean classes"):
        build(keras=file, output="clases")


def test_a_layer_with_several_outputs_is_no_output(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    parts = keras.Model(image, [image[:, ::2], image[:, 1::2]], name="parts")
    rows = keras.layers.Add()(parts(twice(twice(image))))
    file = save(keras.Model(image, keras.layers.GlobalAveragePooling2D()(rows)), tmp_path)
    for layer in ("twice", "parts"):
        with pytest.raises(ConfigError, match=f"one output, used once. Received: '{layer}', with"):
            build(keras=file, output=layer)


def test_it_stays_frozen_and_at_inference_in_training(tmp_path: Path) -> None:
    model = build(keras=save(network(rate=0.9), tmp_path), output="dropout")
    before = [np.array(each) for each in model.network.layers[1].variables]
    assert {each.path.split("/")[0] for each in model.trainable_variables} == {"probabilities"}
    model.compile("sgd", "binary_crossentropy")
    trained = [np.asarray(model(IMAGES, training=flag)) for flag in (True, True, False)]
    np.testing.assert_allclose(trained[0], trained[2], atol=1e-6)
    model.fit(IMAGES, np.eye(3, 2), verbose=0)
    for variable, value in zip(model.network.layers[1].variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_the_layers_after_it_are_not_put_into_training_mode(tmp_path: Path) -> None:
    config = TrainerConfig.from_fields(
        {"backbone": {"keras": save(network(), tmp_path)}, "image_size": 48}
    )
    model = build_model(config, 2).network
    images = np.full((2, 48, 48, 3), 99, np.uint8)
    np.testing.assert_array_equal(model(images), model(images, training=False))


def _with_lambda() -> keras.Model:
    image = keras.Input((32, 32, 3))
    return keras.Model(image, keras.layers.Lambda(lambda x: x[:, 0, 0])(image))


def _two_inputs() -> keras.Model:
    images = [keras.Input((32, 32, 3), name=name) for name in ("left", "right")]
    return keras.Model(images, keras.layers.Add()(images))


def _classes() -> keras.Model:
    image = keras.Input((32, 32, 3))
    return keras.Model(image, keras.ops.argmax(keras.layers.Flatten()(image), -1))


def _text() -> keras.Model:
    row = keras.Input((9,))
    return keras.Model(row, keras.layers.Dense(2)(row))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_with_lambda, "Code in a file is not run: replace Lambda layers"),
        (_two_inputs, r"one input, the images. Received: left \(None, 32, 32, 3\), right"),
        (_classes, r"return a vector, tokens or feature maps .*Received: shape \(None,\), int"),
        (_text, r"take images .*Received: shape \(None, 9\), float32"),
    ],
)
def test_what_is_no_image_encoder_is_refused(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(keras=save(make(), tmp_path))


def test_layers_of_other_code_are_refused(tmp_path: Path) -> None:
    class Doubled(keras.layers.Layer):
        def call(self, images: Any) -> Any:
            return images * 2

    image = keras.Input((32, 32, 3))
    file = save(keras.Model(image, Doubled()(image)), tmp_path)
    with pytest.raises(ConfigError, match="export a model with layers of its own as a SavedModel"):
        build(keras=file)


def test_a_module_that_a_file_names_is_not_imported(tmp_path: Path) -> None:
    import json
    import zipfile

    file = save(network(), tmp_path)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    structure = json.loads(parts["config.json"])
    layer = structure["config"]["layers"][1]
    layer.update(module="this", class_name="Zen", registered_name=None)
    parts["config.json"] = json.dumps(structure).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    sys.modules.pop("this", None)
    with pytest.raises(ConfigError, match="to be a file that Keras can load"):
        build(keras=file)
    assert "this" not in sys.modules


def test_what_is_no_keras_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="and there is nothing"):
        build(keras=str(tmp_path / "absent.keras"))
    (tmp_path / "model.h5").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"to be a \*\.keras file"):
        build(keras=str(tmp_path / "model.h5"))
    (tmp_path / "model.keras").write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="Save it again with Keras"):
        build(keras=str(tmp_path / "model.keras"))
