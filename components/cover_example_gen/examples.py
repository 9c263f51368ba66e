"""One distinct cover as a tf.train.Example."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components import label_schema
from components.cover_example_gen.images import ImageFacts
from components.label_schema import LabelSchema

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Cover:
    """One distinct cover.

    Attributes:
        facts: what is known of its image.
        group: name of its near-duplicate group.
        genres: schema genres, sorted.
        paths: where it was found, relative to the data directory, sorted.
        rows: number of rows that gave it.
        file: one of the files that hold it.
    """

    facts: ImageFacts
    group: str
    genres: tuple[str, ...]
    paths: tuple[str, ...]
    rows: int
    file: Path


def read_example(cover: Cover, schema: LabelSchema) -> tf.train.Example:
    """Reads the cover's file again and returns it with the features that the schema describes.

    Raises:
        OSError: the file cannot be read any more.
        ValueError: it has other bytes than before.
    """
    encoded = cover.file.read_bytes()
    if hashlib.sha256(encoded).hexdigest() != cover.facts.image_id:
        raise ValueError(f"Expected the bytes of {cover.facts.image_id}. Received: other bytes.")
    return make_example(cover, schema, encoded)


def make_example(cover: Cover, schema: LabelSchema, encoded: bytes | None) -> tf.train.Example:
    """Returns the tf.train.Example of a cover; without its bytes, for statistics alone."""
    import tensorflow as tf

    facts = cover.facts

    def texts(values: Sequence[str]) -> tf.train.Feature:
        return blobs([os.fsencode(value) for value in values])

    def blobs(values: Sequence[bytes]) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def integer(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    def numbers(values: Sequence[float]) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    features = {
        label_schema.IMAGE_ID: texts([facts.image_id]),
        label_schema.IMAGE_GROUP: texts([cover.group]),
        label_schema.IMAGE_PATH: texts(cover.paths),
        label_schema.IMAGE_FORMAT: texts([facts.format]),
        label_schema.IMAGE_WIDTH: integer(facts.width),
        label_schema.IMAGE_HEIGHT: integer(facts.height),
        label_schema.IMAGE_SIZE: integer(facts.size),
        label_schema.IMAGE_ORIENTATION: integer(facts.orientation),
        label_schema.IMAGE_BRIGHTNESS: numbers([facts.brightness]),
        label_schema.GENRES: texts(cover.genres),
        label_schema.LABEL: numbers(schema.multi_hot(cover.genres)),
    }
    if encoded is not None:
        features[label_schema.IMAGE_ENCODED] = blobs([encoded])
    return tf.train.Example(features=tf.train.Features(feature=features))
