"""Predictions: the examples of the test split, without their images but with the models' outputs.

They are tf.train.Examples in a TFX Examples artifact, which TFMA evaluates directly. Each model's
outputs are features of their own, such as `candidate/probabilities`. A part of the covers, of a
small split all, has the candidate's embeddings as well.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.contracts.files import split_folder
from components.contracts.label_schema import IMAGE_ID, IMAGE_PATH, LABEL, TEST_SPLIT
from components.contracts.signatures import (
    DECISIONS,
    EMBEDDINGS,
    PROBABILITIES,
    ModelDescription,
)

CANDIDATE = "candidate"
BASELINE = "baseline"
"""The models, by the names that TFX's Evaluator gives them."""

OUTPUTS = (PROBABILITIES, DECISIONS)

_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The test split with one model's outputs, ordered by the covers' identity.

    Attributes:
        genres: genre names in the order of the model's outputs.
        thresholds: the model's decision threshold for each genre, shape (n,).
        ids: identity of each cover.
        paths: where each came from; the first path, if there are several.
        labels: bool (examples, n).
        probabilities: float64 (examples, n).
        decisions: bool (examples, n).
    """

    genres: tuple[str, ...]
    thresholds: tuple[float, ...]
    ids: tuple[str, ...]
    paths: tuple[str, ...]
    labels: npt.NDArray[np.bool_]
    probabilities: npt.NDArray[np.float64]
    decisions: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)


def output_feature(model: str, output: str) -> str:
    """Returns the feature that holds an output of a model."""
    return f"{model}/{output}"


def read_predictions(
    folder: Path, description: ModelDescription, model: str = CANDIDATE
) -> Predictions:
    """Reads one model's outputs for the test split.

    Args:
        folder: the folder of the `predictions` artifact.
        description: the description of that model.
        model: `CANDIDATE` or `BASELINE`.
    """
    import tensorflow as tf

    n = len(description.genres)
    features = [output_feature(model, output) for output in OUTPUTS]
    spec = {
        IMAGE_ID: tf.io.FixedLenFeature((), tf.string),
        IMAGE_PATH: tf.io.RaggedFeature(tf.string),
        **{key: tf.io.FixedLenFeature((n,), tf.float32) for key in (LABEL, *features)},
    }
    files = sorted(str(path) for path in split_folder(folder, TEST_SPLIT).glob("*"))
    serialized = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    parsed = tf.io.parse_example(tf.constant(serialized, tf.string), spec)
    ids = [_text(value) for value in parsed[IMAGE_ID].numpy()]
    paths = [_text(row[0]) if len(row) else "" for row in parsed[IMAGE_PATH].numpy()]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    label, probabilities, decisions = (
        parsed[key].numpy().reshape(-1, n)[order] for key in (LABEL, *features)
    )
    return Predictions(
        genres=description.genres,
        thresholds=description.thresholds,
        ids=tuple(ids[place] for place in order),
        paths=tuple(paths[place] for place in order),
        labels=label > 0.5,
        probabilities=probabilities.astype(np.float64),
        decisions=decisions > 0.5,
    )


def read_embeddings(folder: Path) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """Reads the candidate's embeddings, of the covers that have them, by identity.

    Args:
        folder: the folder of the `predictions` artifact.

    Returns:
        The covers' identities, and an array (covers, n); none if the model has no embeddings.
    """
    import tensorflow as tf

    feature = output_feature(CANDIDATE, EMBEDDINGS)
    spec = {
        IMAGE_ID: tf.io.FixedLenFeature((), tf.string),
        feature: tf.io.RaggedFeature(tf.float32),
    }
    files = sorted(str(path) for path in split_folder(folder, TEST_SPLIT).glob("*"))
    found: dict[str, npt.NDArray[np.float32]] = {}
    for serialized in tf.data.TFRecordDataset(files, "GZIP").batch(_AT_ONCE):
        parsed = tf.io.parse_example(serialized, spec)
        for value, row in zip(parsed[IMAGE_ID].numpy(), parsed[feature], strict=True):
            if len(row):
                found[_text(value)] = row.numpy()
    ids = tuple(sorted(found))
    if not ids:
        return ids, np.zeros((0, 0), np.float32)
    return ids, np.stack([found[each] for each in ids])


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="backslashreplace")
