"""A tiny exported model, for tests of what asks a model."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from components.trainer.export import export_model
from components.trainer.thresholds import DecisionRule


def export_tiny_model(folder: Path, genres: tuple[str, ...]) -> Path:
    """Writes a SavedModel whose answers depend on a cover's mean colour, and returns its folder."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((16, 16, 3), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(len(genres), "sigmoid"),
    ]
    rule = DecisionRule(np.full(len(genres), 0.5, np.float32), at_least_one_genre=True)
    export_model(keras.Sequential(layers), genres, rule, "recipe", folder)
    return folder
