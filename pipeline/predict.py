"""Asks a pushed model for the genres of image files, through its serving signature."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.errors import DataError, DeploymentError
from components.pushed_models import PushedVersion, pushed_versions
from components.signatures import (
    DECISIONS,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
    read_model_description,
)
from pipeline.workspace import model_folders

_BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

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
        genres = ", ".join(self.decided) or "none of the genres"
        listed = "  ".join(f"{genre} {value:.2f}" for genre, value in self.probabilities.items())
        return f"{self.image}: {genres}  ({listed})"


def find_model(pipeline_root: Path) -> Path:
    """Returns the folder of the model pushed last, by any pipeline of the pipeline root.

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
            "with `covers run`, or name a model with --model."
        )
    return Path(newest.location)


def predict_files(model_directory: Path, images: Sequence[Path]) -> list[Prediction]:
    """Predicts the genres of image files.

    Raises:
        DeploymentError: the folder holds no model of this project.
        DataError: a file is missing or the model cannot decode it.
    """
    description = read_model_description(model_directory)
    encoded = [_read(image) for image in images]
    import tensorflow as tf

    model = tf.saved_model.load(str(model_directory))
    signature = model.signatures[SERVING_SIGNATURE]
    predictions: list[Prediction] = []
    for start in range(0, len(images), _BATCH_SIZE):
        batch = slice(start, start + _BATCH_SIZE)
        try:
            outputs = signature(**{IMAGE_BYTES: tf.constant(encoded[batch])})
        except tf.errors.InvalidArgumentError as error:
            refused = [
                str(image)
                for image, content in zip(images[batch], encoded[batch], strict=True)
                if not _is_accepted(signature, content)
            ]
            raise DataError(
                f"Expected complete JPEG or PNG images. Received: {', '.join(refused)}."
            ) from error
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


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise DataError(
            f"Expected an image file at {image}. Received: {error.strerror}."
        ) from error


def _is_accepted(signature: Any, encoded: bytes) -> bool:
    import tensorflow as tf

    try:
        signature(**{IMAGE_BYTES: tf.constant([encoded])})
    except tf.errors.InvalidArgumentError:
        return False
    return True
