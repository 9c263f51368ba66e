"""What the model says of each cover of the test split, and small pictures of some of them."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from components.contracts.label_schema import IMAGE_ENCODED, IMAGE_ID, IMAGE_PATH, LABEL, TEST_SPLIT
from components.contracts.signatures import (
    DECISIONS,
    EXAMPLES,
    EXAMPLES_SIGNATURE,
    PROBABILITIES,
    read_model_description,
)
from components.support.compat import input_options

if TYPE_CHECKING:
    import tensorflow as tf

_BATCH_SIZE = 32
_THUMBNAIL_SIDE = 132
_THUMBNAIL_QUALITY = 72


@dataclasses.dataclass(frozen=True)
class Predictions:
    """The test split with the model's outputs, in the order of the files.

    Attributes:
        genres: genre names in the order of the model's outputs.
        thresholds: the model's decision threshold for each genre, shape (n,).
        ids: identity of each cover.
        paths: where each came from; the first place, if there are several.
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


def predict(examples: Path, model: Path) -> Predictions:
    """Runs the model over the test split, through the signature that TFMA uses.

    Args:
        examples: the Examples artifact's folder.
        model: the SavedModel's folder.
    """
    import tensorflow as tf

    description = read_model_description(model)
    n = len(description.genres)
    signature = tf.saved_model.load(str(model)).signatures[EXAMPLES_SIGNATURE]
    spec = {
        IMAGE_ID: tf.io.FixedLenFeature((), tf.string),
        IMAGE_PATH: tf.io.RaggedFeature(tf.string),
        LABEL: tf.io.FixedLenFeature((n,), tf.float32),
    }
    ids: list[str] = []
    paths: list[str] = []
    labels, probabilities, decisions = [np.zeros((0, n))], [np.zeros((0, n))], [np.zeros((0, n))]
    for batch in _records(examples).batch(_BATCH_SIZE):
        features = tf.io.parse_example(batch, spec)
        outputs = signature(**{EXAMPLES: batch})
        ids += [_text(value) for value in features[IMAGE_ID].numpy()]
        paths += [_text(row[0]) if len(row) else "" for row in features[IMAGE_PATH].numpy()]
        labels.append(features[LABEL].numpy())
        probabilities.append(outputs[PROBABILITIES].numpy())
        decisions.append(outputs[DECISIONS].numpy())
    return Predictions(
        genres=description.genres,
        thresholds=description.thresholds,
        ids=tuple(ids),
        paths=tuple(paths),
        labels=np.concatenate(labels) > 0.5,
        probabilities=np.concatenate(probabilities).astype(np.float64),
        decisions=np.concatenate(decisions) > 0.5,
    )


def genres_of(labels: npt.NDArray[np.bool_], genres: tuple[str, ...]) -> list[str]:
    """Returns the names of the genres that are set, of shape (n,)."""
    return [genre for genre, on in zip(genres, labels, strict=True) if on]


def thumbnails(examples: Path, wanted: Collection[int]) -> dict[int, str]:
    """Returns small JPEG pictures as `data:` URIs, by the cover's place in the test split.

    A cover that Pillow cannot read has none.
    """
    import tensorflow as tf

    spec = {IMAGE_ENCODED: tf.io.FixedLenFeature((), tf.string)}
    pictures: dict[int, str] = {}
    for place, record in _numbered(examples, set(wanted)):
        encoded = tf.io.parse_single_example(record, spec)[IMAGE_ENCODED].numpy()
        picture = data_uri(encoded)
        if picture:
            pictures[place] = picture
    return pictures


def data_uri(encoded: bytes, side: int = _THUMBNAIL_SIDE) -> str | None:
    """Returns an image, scaled down to fit a square, as a `data:` URI; None if it is broken."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            small = ImageOps.contain(image.convert("RGB"), (side, side))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _records(examples: Path) -> tf.data.Dataset:
    import tensorflow as tf

    files = sorted(str(path) for path in (examples / f"Split-{TEST_SPLIT}").glob("*"))
    zipped = [file for file in files if file.endswith(".gz")]
    plain = [file for file in files if not file.endswith(".gz")]
    records = tf.data.TFRecordDataset(zipped, compression_type="GZIP")
    return records.concatenate(tf.data.TFRecordDataset(plain)).with_options(input_options())


def _numbered(examples: Path, wanted: set[int]) -> Iterator[tuple[int, Any]]:
    last = max(wanted, default=-1)
    for place, record in enumerate(_records(examples).take(last + 1)):
        if place in wanted:
            yield place, record


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="backslashreplace")
