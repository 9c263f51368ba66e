from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.contracts.signatures import HISTORY_FILE, PROBABILITIES, SERVING_SIGNATURE
from components.trainer.config import TrainerConfig
from components.trainer.precision import resolve
from components.trainer.training import device_strategy

_PROGRAM = Path(__file__).with_name("training_process.py")
_OF_A_BATCH = {"BatchNormalization", "Dropout"}


@pytest.mark.slow
def test_two_devices_learn_what_one_learns(covers, small_config, tmp_path):
    """Without dropout, augmentation and batch statistics the sums of gradients are the same."""
    layers = [layer for layer in small_config.layers if layer.keys().isdisjoint(_OF_A_BATCH)]
    config = TrainerConfig.model_validate(
        {
            **small_config.model_dump(),
            "layers": layers,
            "augmentation": [],
            "epochs": 6,
            "early_stopping": None,
            "class_weights": "balanced",
            "optimizer": {"AdamW": {"learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.8}},
        }
    )

    one, two = (answers(covers, config, tmp_path, devices) for devices in (1, 2))
    assert one.std(axis=0).min() > 0.01
    np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.slow
def test_frozen_backbones_are_the_same_on_two_devices(covers, small_config, tmp_path):
    """Among them a SavedModel, whose variables no distribution strategy may make its own."""
    image = keras.Input((None, None, 3), name="image")
    maps = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 32)(image))
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(maps))
    network.save(tmp_path / "small.keras")
    network.export(tmp_path / "small", verbose=False)
    config = TrainerConfig.model_validate(
        {
            "backbone": [
                {"keras": str(tmp_path / "small.keras")},
                {"saved_model": str(tmp_path / "small")},
                {"name": "MobileNetV3Small", "weights": "none", "features": "stages"}
                | {"fine_tune": "none"},
            ],
            "image_size": 40,
            "batch_size": 8,
            "epochs": 2,
            "layers": [{"Dense": {"units": 4}}],
            "early_stopping": None,
        }
    )
    assert config.trains_on_features
    one, two = (answers(covers, config, tmp_path, devices) for devices in (1, 2))
    assert one.std(axis=0).min() > 0.001
    np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.slow
def test_two_devices_refit(covers, tmp_path):
    """The float32 network that is served takes the weights of one on all devices."""
    encoder = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(8, 3)])
    encoder.save(tmp_path / "encoder.keras")
    config = TrainerConfig(
        image_size=32,
        epochs=2,
        batch_size=16,
        backbone={"keras": str(tmp_path / "encoder.keras")},
        precision="mixed_bfloat16",
        refit=True,
    )
    assert answers(covers, config, tmp_path, devices=2).std(axis=0).min() > 0.001
    record = (tmp_path / "devices_2" / "model_run" / HISTORY_FILE).read_text(encoding="utf-8")
    known = sum(len(covers.encoded[split]) for split in ("train", "eval"))
    assert json.loads(record)["refit"]["covers"] == known


def answers(covers, config: TrainerConfig, folder: Path, devices: int) -> np.ndarray:
    """Trains in a process with so many devices; returns the predictions of the eval split."""
    shutil.copy(covers.schema_path, covers.root / "schema.pbtxt")
    folder = folder / f"devices_{devices}"
    arguments = [str(covers.root), str(folder), config.model_dump_json(), "0", str(devices)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, str(_PROGRAM), *arguments], env=environment, check=True)
    model = tf.saved_model.load(str(folder / "Format-Serving"))
    images = tf.constant(covers.encoded["eval"])
    return model.signatures[SERVING_SIGNATURE](image_bytes=images)[PROBABILITIES].numpy()


def test_one_device_needs_no_strategy() -> None:
    assert device_strategy() is tf.distribute.get_strategy()


@pytest.mark.parametrize(
    ("capabilities", "policy"),
    [
        ([], "float32"),
        ([(8, 0)], "mixed_float16"),
        ([(8, 0), (7, 0)], "mixed_float16"),
        ([(8, 0), (6, 1)], "float32"),
    ],
)
def test_auto_precision_follows_the_gpus(capabilities, policy, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capabilities)
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda capability: {"compute_capability": capability},
    )
    assert resolve("auto") == policy
    assert resolve("mixed_bfloat16") == "mixed_bfloat16"
