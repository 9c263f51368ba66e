"""A small exported model, covers to ask it about, and what it said of them in the evaluation."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.contracts.label_schema import IMAGE_ENCODED, IMAGE_ID
from components.contracts.predictions import Predictions
from components.contracts.serving_check import ServingCheck
from components.contracts.signatures import (
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
    read_model_description,
)
from components.infra_validator.check import check_model
from components.infra_validator.config import PYTHON, SESSION, InfraValidatorConfig
from components.infra_validator.recorded import Recorded
from components.trainer.export import ServingModule, export_model
from components.trainer.thresholds import DecisionRule

GENRES = ("jazz", "pop", "rock")
RULE = DecisionRule(np.array([0.4, 0.5, 0.6], np.float32), at_least_one_genre=True)
SIDE = 24
LOADERS = (SESSION, PYTHON)
CLOSE = 1e-5


def network(seed: int) -> keras.Model:
    """Builds a network whose answers depend on the cover."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, strides=4),
            keras.layers.Flatten(),
            keras.layers.Dense(len(GENRES), activation="sigmoid"),
        ]
    )


def write_model(folder: Path, seed: int = 0) -> Path:
    """Exports a network as the Trainer does."""
    export_model(network(seed), GENRES, RULE, "recipe", folder)
    return folder


def save(module: ServingModule, like: Path, folder: Path, **signatures: object) -> Path:
    """Saves a module with some signatures, and the description of another model."""
    tf.saved_model.save(module, str(folder), signatures=signatures)
    description = Path("assets.extra/covers.json")
    (folder / description).parent.mkdir(exist_ok=True)
    (folder / description).write_bytes((like / description).read_bytes())
    return folder


@dataclasses.dataclass(frozen=True)
class Good:
    """A model that passes, with the covers and their predictions."""

    model: Path
    covers: Recorded
    predictions: Predictions


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory, draw_cover: Callable[..., Image.Image]) -> Good:
    model = write_model(tmp_path_factory.mktemp("model"))
    covers = tuple(_jpeg(draw_cover(seed)) for seed in range(5))
    ids = tuple(f"cover {number}" for number in range(len(covers)))
    examples = tuple(map(_example, ids, covers))
    signature = tf.saved_model.load(str(model)).signatures[SERVING_SIGNATURE]
    said = signature(**{IMAGE_BYTES: tf.constant(covers)})[PROBABILITIES].numpy()
    description = read_model_description(model)
    backwards = slice(None, None, -1)  # found by identity, not by place
    predictions = Predictions(
        genres=description.genres,
        thresholds=description.thresholds,
        ids=ids[backwards],
        paths=ids[backwards],
        labels=said[backwards] > 0.5,
        probabilities=said[backwards].astype(np.float64),
        decisions=said[backwards] > 0.5,
    )
    return Good(model, Recorded(ids, covers, examples), predictions)


Check = Callable[..., ServingCheck]


@pytest.fixture(scope="session")
def check(good: Good) -> Check:
    """Returns a function that checks a model by what is known of the good one.

    Unless loaders are named, it uses both; Python's imports TensorFlow, which takes seconds."""

    def run(model: Path, *loaders: str, **options: object) -> ServingCheck:
        config = InfraValidatorConfig.from_fields({"loaders": loaders or LOADERS, **options})
        return check_model(model, good.covers, good.predictions, config, CLOSE)

    return run


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    return buffer.getvalue()


def _example(identity: str, cover: bytes) -> bytes:
    def feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {IMAGE_ID: feature(identity.encode()), IMAGE_ENCODED: feature(cover)}
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
