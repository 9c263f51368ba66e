"""KerasHub presets as backbones, with random weights, since the trained ones need the internet."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from components.trainer.head import split_at_features
from components.trainer.model import build_model

pytest.importorskip("keras_hub")

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
_SMALL = {"hidden_dim": 16, "num_layers": 2, "num_heads": 2, "intermediate_dim": 32}
_VISION = {**_SMALL, "patch_size": 8, "image_shape": (32, 32, 3)}


def _clip() -> Any:
    from keras_hub import models

    text = {**_SMALL, "vocabulary_size": 9, "embedding_dim": 16, "max_sequence_length": 5}
    return models.CLIPBackbone(
        models.CLIPVisionEncoder(**_VISION), models.CLIPTextEncoder(**text), projection_dim=12
    )


def _siglip() -> Any:
    from keras_hub import models

    text = {**_SMALL, "vocabulary_size": 9, "embedding_dim": 16, "max_sequence_length": 5}
    return models.SigLIPBackbone(
        models.SigLIPVisionEncoder(**_VISION), models.SigLIPTextEncoder(**text)
    )


def _dinov2() -> Any:
    from keras_hub import models

    return models.DINOV2Backbone(**_VISION, position_embedding_shape=(32, 32, 3))


def save(folder: Path, backbone: Any, scale: Any = 1 / 127.5, offset: Any = -1.0) -> str:
    """Writes a preset with an image converter."""
    from keras_hub import layers

    backbone.save_to_preset(str(folder))
    name = type(backbone).__name__.replace("Backbone", "ImageConverter")
    converter = getattr(layers, name)
    converter(image_size=(32, 32), scale=scale, offset=offset).save_to_preset(str(folder))
    return str(folder)


def build(**backbone: Any) -> Any:
    config = TrainerConfig.from_fields({"backbone": backbone, "image_size": 32})
    return split_at_features(build_model(config, 2).network)[0]


_ENCODERS = {
    "clip": (_clip, lambda model, images: model.get_vision_embeddings(images), "average"),
    "siglip": (_siglip, lambda model, images: model.get_vision_embeddings(images), "average"),
    "dinov2": (_dinov2, lambda model, images: model(images)[:, 0], "first"),
}


@pytest.mark.parametrize("name", _ENCODERS)
def test_the_image_encoder_is_used_with_the_preprocessing_of_its_preset(
    name: str, tmp_path: Path, export_and_ask: Callable[..., np.ndarray]
) -> None:
    make, encode, pooling = _ENCODERS[name]
    model = make()
    backbone = {"keras_hub": save(tmp_path / "preset", model), "pooling": pooling}
    extractor = build(**backbone)
    expected = encode(model, IMAGES.astype(np.float32) / 127.5 - 1)
    np.testing.assert_allclose(extractor(IMAGES), expected, atol=1e-4)
    assert not extractor.trainable_weights
    assert not any("text" in variable.path for variable in extractor.variables)
    export_and_ask(backbone, IMAGES)


def test_pixels_per_channel_and_pixels_that_are_configured(tmp_path: Path) -> None:
    model = _dinov2()
    scale, offset = [0.01, 0.02, 0.03], [-1.0, -2.0, -3.0]
    preset = save(tmp_path / "preset", model, scale, offset)
    given = IMAGES * np.float32(scale) + np.float32(offset)
    expected = np.asarray(model(given)).mean(1)
    np.testing.assert_allclose(build(keras_hub=preset)(IMAGES), expected, atol=1e-4)
    own = np.asarray(model(IMAGES.astype(np.float32) / 255)).mean(1)
    found = build(keras_hub=preset, pixels={"std": 255})(IMAGES)
    np.testing.assert_allclose(found, own, atol=1e-4)
    (tmp_path / "preset" / "image_converter.json").unlink()
    with pytest.raises(ConfigError, match=r"to hold image_converter.json.* or set backbone.pixels"):
        build(keras_hub=preset)


def test_a_preset_without_an_image_encoder_is_refused(tmp_path: Path) -> None:
    from keras_hub import models

    bert = models.BertBackbone(9, 1, 2, 8, 16, max_sequence_length=5)
    bert.save_to_preset(str(tmp_path / "bert"))
    with pytest.raises(ConfigError, match=r"image encoder, such as CLIP.*Received: BertBackbone"):
        build(keras_hub=str(tmp_path / "bert"))


def test_what_is_no_preset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="and there is nothing"):
        build(keras_hub=str(tmp_path / "clip_vit_base_patch32"))
    with pytest.raises(ConfigError, match=r"without config\.json"):
        build(keras_hub=str(tmp_path))
    preset = tmp_path / "preset"
    save(preset, _dinov2())
    (preset / "model.weights.h5").unlink()
    with pytest.raises(ConfigError, match="to be a preset that KerasHub can load"):
        build(keras_hub=str(preset))
    structure = json.loads((preset / "config.json").read_text())
    structure.update(class_name="DINOV9Backbone", registered_name="keras_hub>DINOV9Backbone")
    (preset / "config.json").write_text(json.dumps(structure))
    with pytest.raises(ConfigError, match="may not know the networks of newer ones"):
        build(keras_hub=str(preset))


def test_without_kerashub_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "keras_hub" else find(name)
    )
    with pytest.raises(ConfigError, match=r"on both dependency lines: pip install 'covers\[found"):
        build(keras_hub=str(tmp_path))
