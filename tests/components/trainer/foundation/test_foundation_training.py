"""EfficientNet-lite2 from a file is trained, kept and described as the built-in one is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.support.errors import ConfigError
from components.trainer.backbone import build_backbones
from components.trainer.channel_statistics import ChannelStatistics
from components.trainer.config import Backbone, TrainerConfig
from components.trainer.dataset import read_split
from components.trainer.feature_store import FeatureStore
from components.trainer.features import features_key
from components.trainer.head import split_at_features
from components.trainer.model import build_model, check_buildable, serving_network
from components.trainer.recipe import make_recipe
from components.trainer.training import TrainingData, evaluation_probabilities, train_model

_NAMED = {"name": "EfficientNetLite2", "features": "stages", "fine_tune": "none"}
_TINY = {**_NAMED, "name": "MobileNetV3Small", "weights": "none"}


def config_of(backbone: Any, **changes: Any) -> TrainerConfig:
    fields = {"image_size": 48, "batch_size": 8, "epochs": 3, "seed": 1, "output_bias": "prior"}
    return TrainerConfig.from_fields({**fields, "backbone": backbone, **changes})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """EfficientNet-lite2 with its ImageNet weights, as a SavedModel and as a .keras file."""
    folder = tmp_path_factory.mktemp("lite2")
    network = build_backbones([Backbone(**_NAMED)], 48)
    network.save(folder / "lite2.keras")
    network.export(folder / "lite2", verbose=False)
    return {
        "saved_model": {"saved_model": str(folder / "lite2")},
        "keras": {"keras": str(folder / "lite2.keras")},
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A network of one convolution in both forms."""
    folder = tmp_path_factory.mktemp("small")
    image = keras.Input((None, None, 3), name="image")
    maps = keras.layers.Conv2D(4, 3, strides=2)(keras.layers.Rescaling(1 / 255)(image))
    network = keras.Model(image, ChannelStatistics()(maps))
    network.save(folder / "small.keras")
    network.export(folder / "small", verbose=False)
    return {
        "saved_model": {"saved_model": str(folder / "small")},
        "keras": {"keras": str(folder / "small.keras")},
    }


def train(backbone: Any, covers: Any, schema: Any, folder: Path) -> tuple[np.ndarray, list[Any]]:
    """Returns the predictions of the eval split, and the history."""
    train_split, evaluation = (
        read_split(covers.patterns(name), schema, name) for name in ("train", "eval")
    )
    config = config_of(backbone)
    assert config.trains_on_features
    store = FeatureStore(folder, 1e9)
    data = TrainingData.load(schema, train_split, evaluation, config, store)
    trained = train_model(data, config, folder)
    network = serving_network(trained.model, config)
    return evaluation_probabilities(network, data, config), trained.epochs


@pytest.fixture(scope="module")
def named(
    covers: Any, schema: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[np.ndarray, list[Any]]:
    return train(_NAMED, covers, schema, tmp_path_factory.mktemp("named"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["saved_model", "keras"])
def test_the_same_network_from_a_file_gives_the_same_metrics(
    kind: str,
    named: tuple[np.ndarray, list[Any]],
    files: dict[str, Any],
    covers: Any,
    schema: Any,
    tmp_path: Path,
) -> None:
    predictions, epochs = train(files[kind], covers, schema, tmp_path)
    np.testing.assert_allclose(predictions, named[0], atol=1e-5)
    assert np.std(predictions, axis=0).min() > 0.01
    for found, expected in zip(epochs, named[1], strict=True):
        assert {"val_macro_roc_auc", "val_loss"} <= expected.keys()
        for name in expected.keys() - {"seconds"}:
            assert found[name] == pytest.approx(expected[name], abs=1e-5), name


def test_several_of_all_kinds_are_concatenated(small: dict[str, Any]) -> None:
    config = config_of([_TINY, small["keras"], small["saved_model"], small["keras"]])
    extractor, _ = split_at_features(build_model(config, 5).network)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    found = np.asarray(extractor(images))
    first, *others = np.split(found[:, -24:], 3, axis=1)
    assert found.shape[1] > 24 and np.std(first) > 0
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-4)
    check_buildable(config, 5)


def test_features_are_kept_by_what_is_in_the_file_and_not_by_its_place(
    small: dict[str, Any], tmp_path: Path, schema: Any
) -> None:
    def key(path: Path, **options: Any) -> str:
        config = config_of({"saved_model": str(path), **options})
        return features_key(split_at_features(build_model(config, 5).network)[0], config)

    def recipe(path: Path) -> str:
        return make_recipe((), "", config_of({"saved_model": str(path)}), "")

    original = Path(small["saved_model"]["saved_model"])
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    first, first_recipe = key(copy), recipe(copy)
    assert key(original) == first
    assert key(copy, pixels={"std": 2}) != first
    # Not a weight, which would change the key by itself.
    loaded = tf.saved_model.load(str(original))
    shutil.rmtree(copy)
    doubled = tf.function(
        lambda image: {"twice": 2 * loaded.signatures["serving_default"](image=image)["output_0"]},
        input_signature=[tf.TensorSpec([None, None, None, 3], name="image")],
    )
    tf.saved_model.save(loaded, str(copy), {"serving_default": doubled})
    assert key(copy) != first
    assert recipe(copy) != first_recipe


def test_mixed_precision_trains_and_serves_the_same_encoder(small: dict[str, Any]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    for backbone in small.values():
        config = config_of(backbone, precision="mixed_bfloat16")
        model = build_model(config, 5)
        network = serving_network(model, config)
        assert network is not model.network
        found, expected = (each(images, training=False) for each in (model.network, network))
        np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({"saved_model": "a", "keras": "b"}, r"exactly one of .* Received: saved_model and keras"),
        ({"saved_model": None}, "exactly one of saved_model, keras, keras_hub. Received: none"),
        ({"keras": "b", "signature": "serve"}, "signature only with saved_model"),
        ({"keras": "b", "fine_tune": "all"}, r"trainer\.backbone\.fine_tune: Expected a known"),
        ({"keras": "b", "pixels": {"std": 0}}, "Expected std above 0"),
        ({"keras": "b", "pooling": "max"}, r"trainer\.backbone\.pooling: Expected 'average'"),
        ({"saved_model": "kaggle://google/model"}, "URL of one in an object store"),
        ([{"keras": "b"}, {"keras": 3}], r"trainer\.backbone\.1\.keras: Expected a text"),
        ([{"keras": "b"}, "EfficientNetLite0"], "stages, style or layout for each of several"),
    ],
)
def test_wrong_options_are_found_where_they_are(backbone: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainerConfig.from_fields({"backbone": backbone})
