"""Features are computed once for all trainings that share a backbone, and never for others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.contracts.signatures import HISTORY_FILE
from components.support import progress
from components.trainer import dataset, feature_store, features, run
from components.trainer.config import TrainerConfig
from components.trainer.dataset import read_split
from components.trainer.feature_store import FeatureStore
from components.trainer.features import compute_features, features_key, open_feature_store
from components.trainer.head import split_at_features
from components.trainer.model import build_model, serving_network
from components.trainer.preprocessing import decode_and_resize
from components.trainer.thresholds import DecisionRule
from components.trainer.training import TrainingData, evaluation_probabilities

_PROGRAM = Path(__file__).with_name("training_process.py")
_BACKBONE = {"name": "EfficientNetLite0", "features": "stages", "fine_tune": "none"}


def frozen(**changes: Any) -> TrainerConfig:
    """A frozen backbone, small covers and one short training."""
    fields = {
        "backbone": _BACKBONE,
        "image_size": 40,
        "batch_size": 8,
        "epochs": 1,
        "decision_thresholds": "label_share",
    }
    return TrainerConfig.model_validate({**fields, **changes})


class Extractor(keras.Model):
    """Mean colours by a small network; notes how many covers it saw."""

    def predict_on_batch(self, images: Any) -> np.ndarray:
        seen.extend(len(images) * [None])
        return np.asarray(self(images))


seen: list[None] = []


def make_extractor(*, pooling: str = "GlobalAveragePooling2D", kernel: float = 0.5) -> Extractor:
    image = keras.Input((40, 40, 3))
    maps = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(2, 1, kernel_initializer=keras.initializers.Constant(kernel))
    body = keras.Model(maps, layer(maps))
    return Extractor(image, getattr(keras.layers, pooling)()(body(image)))


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


@pytest.fixture
def split(covers, schema):
    return read_split(covers.patterns("train"), schema, "train")


def compute(split, schema, store, key: str = "a" * 64, config: TrainerConfig | None = None):
    extractor = make_extractor()
    return compute_features(extractor, key, split, None, schema, config or frozen(), store).numpy()


def test_equal_parts_give_equal_keys_and_every_part_counts(monkeypatch, tmp_path):
    code = tmp_path / "preprocessing.py"
    code.write_text("first")
    module = SimpleNamespace(__name__="preprocessing", __file__=str(code))
    monkeypatch.setattr(features, "_CODE", (module,))
    config = frozen()
    key = features_key(make_extractor(), config)
    head = {"layers": [{"Dense": {"units": 3}}], "epochs": 9, "seed": 3, "batch_size": 2}
    assert features_key(make_extractor(), frozen(**head)) == key

    others = [
        features_key(make_extractor(kernel=0.6), config),
        features_key(make_extractor(pooling="GlobalMaxPooling2D"), config),
        features_key(make_extractor(), frozen(image_size=48)),
        features_key(make_extractor(), frozen(backbone={**_BACKBONE, "name": "MobileNetV2"})),
        features_key(make_extractor(), frozen(backbone={**_BACKBONE, "features": "maps"})),
    ]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        others.append(features_key(make_extractor(), config))
    finally:
        keras.config.set_dtype_policy("float32")
    for library in (tf, keras):
        with monkeypatch.context() as patch:
            patch.setattr(library, "__version__", "0.0")
            others.append(features_key(make_extractor(), config))
    preset = frozen(backbone={"keras_hub": str(tmp_path)})
    with monkeypatch.context() as patch:
        patch.setattr(features, "_describe_backbone", str)
        for version in ("0.25", "0.32"):
            patch.setattr(features.metadata, "version", lambda name, version=version: version)
            others.append(features_key(make_extractor(), preset))
    with monkeypatch.context() as patch:
        patch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
        others.append(features_key(make_extractor(), config))
    code.write_text("second")
    others.append(features_key(make_extractor(), config))
    assert len({key, *others}) == 1 + len(others) == 13


def test_the_code_that_counts_is_what_stands_between_file_and_features():
    names = {module.__name__.rsplit(".", 1)[1] for module in features._CODE}
    assert names == {
        "preprocessing",
        "backbone",
        "channel_correlations",
        "channel_layout",
        "channel_statistics",
        "efficientnet_lite",
        "image_statistics",
    }


def test_the_key_of_a_network_follows_from_its_weights_and_not_from_its_head():
    def key(**changes: Any) -> str:
        config = frozen(**changes)
        extractor, _ = split_at_features(build_model(config, 5).network)
        return features_key(extractor, config)

    first = key()
    assert key(layers=["ReLU", {"Dense": {"units": 7}}], optimizer="SGD") == first
    assert key(backbone={**_BACKBONE, "weights": "none"}) != first


def test_only_covers_that_are_new_go_through_the_extractor(covers, schema, split, tmp_path):
    few = read_split([covers.patterns("train")[0].replace("*", "data-1")], schema, "train")
    assert 0 < len(few.ids) < len(split.ids)
    without = compute(split, schema, None)
    seen.clear()
    details = []
    with progress.listening(lambda *report: details.append(report[-1])):
        compute(few, schema, FeatureStore(tmp_path, 1e9))
        assert len(seen) == len(few.ids)
        assert "kept" not in details[0]
        all_of_them = compute(split, schema, FeatureStore(tmp_path, 1e9))
        assert len(seen) == len(split.ids)
        assert f"({len(few.ids)} features kept from earlier runs)" in details[-1]
        again = compute(split, schema, FeatureStore(tmp_path, 1e9))
    assert details[-1] == f"{len(split.ids)} features kept from earlier runs"
    assert len(seen) == len(split.ids)
    assert again.tobytes() == all_of_them.tobytes()
    np.testing.assert_allclose(all_of_them, without, rtol=1e-6)
    compute(split, schema, FeatureStore(tmp_path, 1e9), key="b" * 64)
    assert len(seen) == 2 * len(split.ids)


def test_an_interrupted_computation_has_kept_what_it_finished(schema, split, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "_COVERS_IN_A_SEGMENT", 16)

    def interrupt(stage: str, done: int, total: int, detail: str) -> None:
        if done >= 24:
            raise KeyboardInterrupt

    with progress.listening(interrupt), pytest.raises(KeyboardInterrupt):
        compute(split, schema, FeatureStore(tmp_path, 1e9))
    seen.clear()
    compute(split, schema, FeatureStore(tmp_path, 1e9))
    assert len(seen) == len(split.ids) - 16


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_thresholds_are_tuned_on_what_is_served(precision, covers, schema):
    config = frozen(precision=precision, layers=["BatchNormalization", {"Dense": {"units": 4}}])
    splits = (read_split(covers.patterns(name), schema, name) for name in ("train", "eval"))
    data = TrainingData.load(schema, *splits, config)
    model = build_model(config, 5)
    extractor, _ = split_at_features(model.network)
    data.with_features(extractor, config)
    network = serving_network(model, config)
    probabilities = evaluation_probabilities(network, data, config)
    served = network.predict(data.evaluation_batches(config), verbose=0)
    assert served.std() > 0.001
    np.testing.assert_allclose(probabilities, served, atol=1e-6)


def test_no_store_without_a_folder_or_by_choice(tmp_path, caplog):
    assert open_feature_store("", frozen()) is None
    assert open_feature_store(str(tmp_path), frozen(feature_gigabytes=None)) is None
    assert not caplog.records
    assert open_feature_store("s3://bucket/features", frozen()) is None
    assert "No features: s3://bucket/features is not a folder" in caplog.text
    store = open_feature_store(str(tmp_path / "features"), frozen(feature_gigabytes=0.5))
    assert store is not None and store.limit == 5e8 and store.folder.is_dir()


@pytest.fixture
def train(covers, tmp_path, monkeypatch):
    """Returns a function that calls `run_fn`, and returns what would be exported.

    Its arguments: the configuration, and the folder of features; its results: the losses of the
    epochs, the thresholds, and what the network says of the eval split, image by image.
    """
    exported: dict[str, Any] = {}

    def export(network: keras.Model, genres: Any, rule: DecisionRule, *_: Any) -> None:
        images = [decode_and_resize(each, 40) for each in covers.encoded["eval"]]
        exported["probabilities"] = network.predict(np.stack(images), verbose=0)
        exported["thresholds"] = rule.thresholds

    monkeypatch.setattr(run, "export_model", export)

    def start(config: TrainerConfig, kept: Path | None) -> dict[str, Any]:
        model, model_run = tmp_path / "Format-Serving", tmp_path / "model_run"
        run.run_fn(covers.fn_args(config, model, model_run, feature_folder=str(kept or "")))
        history = json.loads((tmp_path / "model_run" / HISTORY_FILE).read_text())
        return {"loss": [row["val_loss"] for row in history["epochs"]], **exported}

    return start


def test_a_second_training_with_another_head_decodes_no_cover(train, tmp_path, monkeypatch):
    kept = tmp_path / "features"
    without = train(frozen(), None)
    first = train(frozen(), kept)
    assert list(kept.glob("*.npz"))

    def decode(*_: Any) -> None:
        raise AssertionError("A cover was decoded.")

    monkeypatch.setattr(dataset, "decode_and_resize", decode)
    again = train(frozen(), kept)
    for name, expected in without.items():
        np.testing.assert_allclose(first[name], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(again[name], expected, rtol=1e-4, atol=1e-5)
    head = {"layers": [{"Dense": {"units": 7}}], "epochs": 3, "optimizer": "SGD"}
    assert len(train(frozen(**head), kept)["loss"]) == 3


def test_a_backbone_to_be_fine_tuned_starts_from_a_head_on_kept_features(
    train, tmp_path, monkeypatch
):
    kept = tmp_path / "features"
    tuned = frozen(backbone={**_BACKBONE, "fine_tune": "conv_head"}, head_epochs=1)
    first = train(tuned, kept)

    def compute(*_: Any) -> None:
        raise AssertionError("Features were computed.")

    monkeypatch.setattr(features, "images_dataset", compute)
    again = train(tuned, kept)
    np.testing.assert_allclose(again["loss"], first["loss"], rtol=1e-2)


@pytest.mark.slow
def test_a_killed_training_has_kept_what_it_finished(covers, tmp_path):
    """SIGKILL in the 24th cover; the next training puts the rest through the backbone."""
    shutil.copy(covers.schema_path, covers.root / "schema.pbtxt")

    def start(kill_after: int) -> subprocess.CompletedProcess[str]:
        arguments = [str(covers.root), str(tmp_path), frozen().model_dump_json(), "0", "1"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        return subprocess.run(
            [sys.executable, str(_PROGRAM), *arguments, str(kill_after)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert start(24).returncode == -signal.SIGKILL
    kept = list((tmp_path / "features").glob("*.npz"))
    assert len(kept) == 1
    finished = start(0)
    assert finished.returncode == 0, finished.stderr
    covers_seen = [int(line.split()[1]) for line in finished.stdout.splitlines() if "seen" in line]
    assert sum(covers_seen) == 40 - 16 + 16
