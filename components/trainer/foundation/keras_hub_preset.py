"""Reads the image encoder of a KerasHub preset: CLIP, SigLIP, DINOv2, ViT and the like."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import keras
import numpy as np

from components.support.errors import ConfigError
from components.trainer.foundation.config import FoundationModel, Pixels
from components.trainer.foundation.encoder import Encoder, unreadable
from components.trainer.foundation.files import local_path
from components.trainer.foundation.keras_file import as_encoder

_CONFIG_FILE = "config.json"
_CONVERTER_FILE = "image_converter.json"
_PROBE = 8  # any side will do: a converter treats all pixels alike


def read_keras_hub_preset(config: FoundationModel, side: int) -> Encoder:
    """Loads the image encoder of a preset; the text encoder of CLIP or SigLIP is left out.

    Args:
        config: where it is, and which output.
        side: of the images if the encoder takes any size and the configuration names none.

    Raises:
        ConfigError: KerasHub is not installed, or the folder holds no preset of an image encoder.
    """
    if importlib.util.find_spec("keras_hub") is None:
        raise ConfigError(
            "Expected the package keras-hub for backbone.keras_hub. Received: it is not installed. "
            "The extra `foundation` brings it, on both dependency lines: "
            "pip install 'covers[foundation]'."
        )
    path = local_path(config)
    if not (path / _CONFIG_FILE).is_file():
        raise ConfigError(
            f"Expected backbone.keras_hub to be the folder of a preset, as save_to_preset writes "
            f"it. Received: {config.location}, without {_CONFIG_FILE}."
        )
    import keras_hub

    policy = keras.config.dtype_policy().name
    try:
        backbone = keras_hub.models.Backbone.from_preset(str(path), dtype=policy)
        encoder = as_encoder(config, _image_encoder(config, backbone), side)
        pixels = config.pixels or _pixels(path)
    except ConfigError:
        raise
    except Exception as error:  # whatever KerasHub makes of the files of a preset
        remedy = (
            f"Save it again with save_to_preset; KerasHub {keras_hub.__version__} is installed, "
            "and may not know the networks of newer ones."
        )
        raise unreadable(config, "a preset that KerasHub can load", error, remedy) from error
    if pixels is None:
        raise ConfigError(
            f"Expected {config.location} to hold {_CONVERTER_FILE}, which says what its encoder "
            "does with pixels. Received: none. Save the image converter or preprocessor into the "
            "preset as well, or set backbone.pixels, such as {mean: 127.5, std: 127.5}."
        )
    return Encoder(encoder.layer, encoder.side, pixels)


def _image_encoder(config: FoundationModel, backbone: Any) -> Any:
    """Returns the part of a backbone that takes images and nothing else."""
    part = getattr(backbone, "vision_encoder", None) or getattr(backbone, "image_encoder", None)
    if part is not None and hasattr(backbone, "get_vision_embeddings"):
        image = keras.Input(part.image_shape, name="images")
        return keras.Model(image, backbone.get_vision_embeddings(image))
    if part is not None and len(backbone.inputs) > 1:
        return part
    if all(len(each.shape) != 4 for each in backbone.inputs):
        raise ConfigError(
            f"Expected {config.location} to be a preset with an image encoder, such as CLIP, "
            f"SigLIP, DINOv2 or ViT. Received: {type(backbone).__name__}."
        )
    return backbone


def _pixels(preset: Path) -> Pixels | None:
    """Finds out what a preset's image converter does to pixels; None if it has none."""
    if not (preset / _CONVERTER_FILE).is_file():
        return None
    from keras_hub.layers import ImageConverter

    converter = ImageConverter.from_preset(str(preset))
    converter.image_size = (_PROBE, _PROBE)
    black, white = (
        np.asarray(converter(np.full((1, _PROBE, _PROBE, 3), value, np.float32))).mean((0, 1, 2))
        for value in (0.0, 255.0)
    )
    std = 255.0 / (white - black)
    mean = -black * std
    return Pixels(mean=tuple(mean.tolist()), std=tuple(std.tolist()))
