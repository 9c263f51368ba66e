"""A small set of real JPEG and PNG covers in TFRecord files, and a network to match."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.contracts import label_schema
from components.contracts.label_schema import LabelSchema
from components.trainer.config import TrainerConfig

_SCHEMA_PATH = Path(__file__).parents[3] / "schema" / "schema.pbtxt"
_TRAIN_COVERS = 40
_EVAL_COVERS = 16


@dataclasses.dataclass(frozen=True)
class Covers:
    """What the fixture wrote: file patterns, and each split's covers in file order."""

    root: Path
    schema_path: Path
    encoded: dict[str, list[bytes]]
    labels: dict[str, np.ndarray]

    def patterns(self, split: str) -> list[str]:
        return [str(self.root / f"Split-{split}" / "*")]

    def fn_args(
        self, config: TrainerConfig, model: Path, model_run: Path, **custom_config: str
    ) -> SimpleNamespace:
        """Returns what TFX gives `run_fn` to train on them."""
        return SimpleNamespace(
            train_files=self.patterns("train"),
            eval_files=self.patterns("eval"),
            schema_path=str(self.schema_path),
            serving_model_dir=str(model),
            model_run_dir=str(model_run),
            hyperparameters=None,
            custom_config={
                "config": config.model_dump(mode="json"),
                "code_fingerprint": "1",
                **custom_config,
            },
        )


def _encode(pixels: np.ndarray, image_format: str = "PNG", mode: str | None = None) -> bytes:
    """Encodes uint8 pixels (height, width[, channels]), converted to `mode` if given."""
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, format=image_format)
    return buffer.getvalue()


def _example(encoded: bytes, label: list[float]) -> bytes:
    """Serializes a tf.Example with a cover, its identity and its label."""

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        label_schema.IMAGE_ENCODED: of_bytes(encoded),
        label_schema.IMAGE_ID: of_bytes(hashlib.sha256(encoded).hexdigest().encode()),
        label_schema.LABEL: tf.train.Feature(float_list=tf.train.FloatList(value=label)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _write_split(root: Path, split: str, examples: list[bytes]) -> None:
    """Writes two files, one gzipped and one plain, in the order in which they are read."""
    folder = root / f"Split-{split}"
    folder.mkdir(parents=True)
    half = len(examples) // 2
    for name, compression, part in (
        ("data-0.gz", "GZIP", examples[:half]),
        ("data-1", "", examples[half:]),
    ):
        with tf.io.TFRecordWriter(str(folder / name), compression) as writer:
            for serialized in part:
                writer.write(serialized)


def _draw_cover(random: np.random.Generator, label: np.ndarray) -> bytes:
    """Draws a bright block per genre in its own place, over noise."""
    pixels = random.integers(0, 90, (64, 72, 3), dtype=np.uint8)
    for genre in np.flatnonzero(label):
        pixels[:, 14 * genre : 14 * genre + 14, genre % 3] = 230
    return _encode(pixels, "PNG" if random.random() < 0.5 else "JPEG")


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return _encode


@pytest.fixture(scope="session")
def example() -> Callable[[bytes, list[float]], bytes]:
    return _example


@pytest.fixture(scope="session")
def write_split() -> Callable[[Path, str, list[bytes]], None]:
    return _write_split


@pytest.fixture(scope="session")
def schema_path() -> Path:
    return _SCHEMA_PATH


@pytest.fixture(scope="session")
def schema(schema_path: Path) -> LabelSchema:
    return LabelSchema.from_file(schema_path)


@pytest.fixture(scope="session")
def covers(
    tmp_path_factory: pytest.TempPathFactory, schema: LabelSchema, schema_path: Path
) -> Covers:
    """Writes 56 covers, each of one or two genres, to a train and an eval split."""
    root = tmp_path_factory.mktemp("examples")
    random = np.random.default_rng(0)
    encoded: dict[str, list[bytes]] = {}
    labels: dict[str, np.ndarray] = {}
    for split, count in (("train", _TRAIN_COVERS), ("eval", _EVAL_COVERS)):
        genres = len(schema.genres)
        first = np.eye(genres, dtype=np.float32)[np.arange(count) % genres]
        second = np.eye(genres, dtype=np.float32)[random.integers(0, genres, count)]
        labels[split] = np.maximum(first, second * (random.random((count, 1)) < 0.3))
        encoded[split] = [_draw_cover(random, label) for label in labels[split]]
        pairs = zip(encoded[split], labels[split].tolist(), strict=True)
        _write_split(root, split, [_example(*pair) for pair in pairs])
    return Covers(root, schema_path, encoded, labels)


@pytest.fixture
def small_config() -> TrainerConfig:
    """A network of two convolutions on 48 px covers, with every kind of layer we use."""
    return TrainerConfig.model_validate(
        {
            "image_size": 48,
            "batch_size": 8,
            "epochs": 2,
            "layers": [
                {"Rescaling": {"scale": 1 / 255}},
                {"Conv2D": {"filters": 8, "kernel_size": 3, "strides": 2, "use_bias": False}},
                {"BatchNormalization": {"momentum": 0.9}},
                "ReLU",
                {"Conv2D": {"filters": 8, "kernel_size": 3, "activation": "relu"}},
                "GlobalAveragePooling2D",
                {"Dropout": {"rate": 0.2}},
            ],
            "augmentation": [
                {"RandomFlip": {"mode": "horizontal"}},
                {"RandomCrop": {"height": 40, "width": 40}},
            ],
            "optimizer": {"AdamW": {"learning_rate": 0.01}},
            "learning_rate_schedule": {"name": "cosine", "warmup_epochs": 1},
            "early_stopping": {"monitor": "val_loss", "patience": 1},
            "output_bias": "prior",
            "decision_thresholds": "best_f1",
        }
    )
