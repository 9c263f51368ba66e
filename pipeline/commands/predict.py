"""Asks a pushed model for the genres of image files, through its serving signature."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.contracts.genre_names import listing
from components.contracts.label_schema import DECODABLE_FORMATS
from components.contracts.pushed_models import PushedVersion, pushed_versions
from components.contracts.quarantine import RowRejected
from components.contracts.signatures import (
    DECISIONS,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
    read_model_description,
)
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.images import AcceptedImages, inspect_image
from components.support.errors import DataError, DeploymentError
from pipeline.runner.workspace import model_folders

_BATCH_SIZE = 32
LARGEST_FILE = 32 << 20
_LARGEST_SIDE = 65_535


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the model predicts for one image.

    Attributes:
        image: the file.
        probabilities: genre -> probability.
        decided: the genres whose probability reaches the model's threshold for them.
    """

    image: Path
    probabilities: dict[str, float]
    decided: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the prediction ready for JSON."""
        return {
            "image": str(self.image),
            "genres": list(self.decided),
            "probabilities": self.probabilities,
        }

    def __str__(self) -> str:
        genres = listing(self.decided) or "none of the genres"
        listed = "  ".join(f"{genre} {value:.2f}" for genre, value in self.probabilities.items())
        return f"{self.image}: {genres}  ({listed})"


def find_model(pipeline_root: Path) -> Path:
    """Returns the folder of the model pushed last, by any pipeline in the pipeline root.

    Raises:
        DeploymentError: no model was pushed.
    """
    newest: PushedVersion | None = None
    for folder in model_folders(pipeline_root):
        latest = next(pushed_versions(folder), None)
        if latest and (newest is None or latest.version > newest.version):
            newest = latest
    if newest is None:
        raise DeploymentError(
            f"Expected a pushed model below {pipeline_root}. Received: none. Run the pipeline "
            "with `covers run`, or give a model with --model."
        )
    return Path(newest.location)


def predict_files(model_directory: Path, images: Sequence[Path]) -> list[Prediction]:
    """Predicts the genres of image files.

    Raises:
        DeploymentError: the folder holds no model of this project.
        DataError: names each file that ingest would refuse as well, and why.
    """
    description = read_model_description(model_directory)
    encoded = read_images(images)
    import tensorflow as tf

    model = tf.saved_model.load(str(model_directory))
    signature = model.signatures[SERVING_SIGNATURE]
    predictions: list[Prediction] = []
    for start in range(0, len(images), _BATCH_SIZE):
        batch = slice(start, start + _BATCH_SIZE)
        outputs = signature(**{IMAGE_BYTES: tf.constant(encoded[batch])})
        probabilities = outputs[PROBABILITIES].numpy().tolist()
        decisions = outputs[DECISIONS].numpy().tolist()
        for image, row, decided in zip(images[batch], probabilities, decisions, strict=True):
            predictions.append(
                Prediction(
                    image=image,
                    probabilities=dict(zip(description.genres, row, strict=True)),
                    decided=tuple(
                        genre for genre, yes in zip(description.genres, decided, strict=True) if yes
                    ),
                )
            )
    return predictions


def read_images(images: Sequence[Path]) -> list[bytes]:
    """Reads image files as ingest does, with the same checks.

    Raises:
        DataError: names each file that ingest would refuse as well, and why.
    """
    encoded: list[bytes] = []
    refused: list[str] = []
    for image in images:
        try:
            encoded.append(read_image(image))
        except RowRejected as rejected:
            refused.append(f"  {image}: {rejected.detail} ({rejected.reason.value})")
    if refused:
        listed = "\n".join(refused)
        raise DataError(f"Expected images that the model sees correctly. Received:\n{listed}")
    return encoded


def read_image(image: Path) -> bytes:
    """Reads a file and refuses what ingest refuses, except for the schema's size limits."""
    file = Path(os.path.realpath(image))
    _, encoded = DataDirectory(file.parent, LARGEST_FILE).read(file.name)
    return accept_image(encoded)


def accept_image(encoded: bytes) -> bytes:
    """Returns what the model is to see of a file.

    Raises:
        RowRejected: ingest would refuse it, for another reason than the schema's size limits.
    """
    inspect_image(encoded, AcceptedImages(DECODABLE_FORMATS, 1, _LARGEST_SIDE))
    return encoded
