"""SavedModels as backbones: what is computed, and what is said of those that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from components.trainer.head import split_at_features
from components.trainer.model import build_model

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


class Module(tf.Module):
    """Mean colours times a variable, as a vector, as tokens and as maps."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable([1.0, 2.0, 4.0])
        self.steps = tf.Variable(3, dtype=tf.int64, trainable=False)

    def outputs(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        scaled = tf.cast(image, tf.float32) * self.scale + tf.cast(self.steps, tf.float32)
        tokens = tf.reshape(scaled, [tf.shape(image)[0], -1, 3])
        return {
            "vector": tf.reduce_mean(scaled, [1, 2]),
            "tokens": tokens,
            "maps": scaled,
            "class": tf.argmax(tf.reduce_mean(scaled, [1, 2]), -1),
        }


def save(folder: Path, shape: Any = (None, 32, 32, 3), dtype: Any = tf.float32) -> Path:
    """Writes a SavedModel with a signature for each output, and one with all."""
    module = Module()
    spec = tf.TensorSpec(shape, dtype, name="image")

    def only(*names: str) -> Any:
        def call(image: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = module.outputs(image)
            return {name: outputs[name] for name in names}

        return tf.function(call, input_signature=[spec])

    names = ("vector", "tokens", "maps", "class")
    signatures = {name: only(name) for name in names}
    tf.saved_model.save(module, str(folder), {**signatures, "serving_default": only(*names)})
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("saved"))


def extract(side: int = 32, **backbone: Any) -> np.ndarray:
    config = TrainerConfig.from_fields(
        {"backbone": backbone, "image_size": side, "layers": [{"Dense": {"units": 2}}]}
    )
    extractor, _ = split_at_features(build_model(config, 2).network)
    assert not extractor.trainable_weights
    images = np.repeat(np.repeat(IMAGES, side // 32, 1), side // 32, 2)
    return np.asarray(extractor(images))


def test_vectors_tokens_and_maps_become_one_vector(saved: Path) -> None:
    given = IMAGES * np.float32([1, 2, 4]) + 3
    mean = given.mean((1, 2))
    std = np.sqrt(given.var((1, 2)) + 1e-5)
    for signature in ("vector", "tokens", "maps"):
        found = extract(saved_model=str(saved), signature=signature)
        np.testing.assert_allclose(found, mean, rtol=1e-5)
    for output in ("tokens", "maps"):
        found = extract(saved_model=str(saved), output=output, pooling="statistics")
        np.testing.assert_allclose(found, np.concatenate([mean, std], -1), rtol=1e-4)
    first = extract(saved_model=str(saved), output="tokens", pooling="first")
    np.testing.assert_allclose(first, given[:, 0, 0], rtol=1e-5)


def test_each_gets_images_of_its_own_size_and_pixels_as_configured(saved: Path) -> None:
    pixels = {"mean": [10, 20, 30], "std": 2}
    found = extract(64, saved_model=str(saved), signature="vector", pixels=pixels)
    scaled = (IMAGES - np.float32([10, 20, 30])) / 2
    np.testing.assert_allclose(found, scaled.mean((1, 2)) * [1, 2, 4] + 3, rtol=1e-4)


def test_bytes_are_rounded_and_any_size_is_taken(tmp_path: Path) -> None:
    save(tmp_path / "bytes", (None, None, None, 3), tf.uint8)
    given = {"saved_model": str(tmp_path / "bytes"), "signature": "vector"}
    whole = extract(**given)
    np.testing.assert_allclose(whole, IMAGES.mean((1, 2)) * [1, 2, 4] + 3, rtol=1e-5)
    smaller = extract(**given, image_size=16)
    assert 0 < np.abs(smaller - whole).max() < 20
    np.testing.assert_array_equal(extract(**given, pixels={"mean": 0.4}), whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signature": "vecto"}, r"Expected backbone.signature to be one of .*Did you mean vector"),
        ({}, r"Expected backbone.output to name an output .*class, maps.*Received: nothing"),
        ({"output": "map"}, r"Received: 'map'\. Did you mean maps"),
        ({"signature": "class"}, r"Received: class, of shape \(1,\) and int64"),
        ({"signature": "vector", "image_size": 48}, r"image_size to be 32, the only size"),
        ({"output": "maps", "pooling": "first"}, r"pooling: first only after tokens"),
    ],
)
def test_what_a_signature_does_not_have_is_said(
    saved: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        extract(96, saved_model=str(saved), **changes)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 32, 32, 3), tf.float32, "always 2 at a time"),
        ((None, 3, 32, 32), tf.float32, "moves the channels"),
        ((None, 32, 32, 4), tf.float32, r"shape \(None, 32, 32, 4\)"),
        ((None, 32, 16, 3), tf.float32, "which is no square"),
        ((None, 64, 64, 3), tf.float32, "Set backbone.image_size or trainer.image_size to 64"),
    ],
)
def test_what_does_not_take_covers_is_refused(
    tmp_path: Path, shape: tuple[int | None, ...], dtype: Any, message: str
) -> None:
    module = Module()
    spec = tf.TensorSpec(shape, dtype, name="image")
    call = tf.function(lambda image: {"mean": tf.reduce_mean(image, [1, 2])}, [spec])
    tf.saved_model.save(module, str(tmp_path / "model"), {"serving_default": call})
    with pytest.raises(ConfigError, match=message):
        extract(saved_model=str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([tf.TensorSpec([None], tf.string, "bytes")], r"Received: shape \(None,\), string"),
        ([tf.TensorSpec([None, 7], tf.float32, "row")], r"Received: shape \(None, 7\), float32"),
        ([], "one input, the images. Received: none"),
        (
            [tf.TensorSpec([None, 8, 8, 3], name="a"), tf.TensorSpec([None, 4], name="b")],
            r"one input, the images. Received: a \(None, 8, 8, 3\), b \(None, 4\)",
        ),
    ],
)
def test_what_takes_something_else_is_refused(
    tmp_path: Path, inputs: list[tf.TensorSpec], message: str
) -> None:
    call = tf.function(lambda *given: {"found": tf.zeros([1, 2])}, input_signature=inputs)
    tf.saved_model.save(Module(), str(tmp_path / "model"), {"serving_default": call})
    with pytest.raises(ConfigError, match=message):
        extract(saved_model=str(tmp_path / "model"))


def test_what_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="and there is nothing"):
        extract(saved_model=str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"without saved_model.pb. Export it with"):
        extract(saved_model=str(tmp_path / "empty"))
    (tmp_path / "empty" / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="to be an undamaged SavedModel"):
        extract(saved_model=str(tmp_path / "empty"))


def test_what_a_signature_does_is_not_compiled_by_xla(tmp_path: Path) -> None:
    def call(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"found": tf.image.resize(image, [4, 4], "bicubic", antialias=True)}

    spec = tf.TensorSpec([None, 32, 32, 3], name="image")
    signature = tf.function(call, input_signature=[spec])
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"), {"serving_default": signature})
    config = TrainerConfig.from_fields(
        {"backbone": {"saved_model": str(tmp_path / "model")}, "image_size": 32}
    )
    extractor, _ = split_at_features(build_model(config, 2).network)
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        extractor.jit_compile = True  # what Keras tries by itself where there is a GPU
    assert np.isfinite(extractor.predict_on_batch(IMAGES.astype(np.float32))).all()


def test_tables_that_a_signature_uses_are_exported(
    tmp_path: Path, export_and_ask: Callable[..., np.ndarray]
) -> None:
    module = tf.Module()
    values = tf.constant([0.0, 1.0, 0.5])
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.range(3, dtype=tf.int64), values), -1.0
    )

    def call(image: tf.Tensor) -> dict[str, tf.Tensor]:
        brightest = tf.argmax(tf.reduce_mean(image, [1, 2]), -1)
        return {"found": module.table.lookup(brightest)[:, tf.newaxis] + image[:, 0, 0]}

    spec = tf.TensorSpec([None, 32, 32, 3], name="image")
    tf.saved_model.save(
        module,
        str(tmp_path / "model"),
        {"serving_default": tf.function(call, input_signature=[spec])},
    )
    keras.utils.set_random_seed(0)
    export_and_ask({"saved_model": str(tmp_path / "model"), "pixels": {"std": 255}}, IMAGES)
