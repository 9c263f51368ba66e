"""One distinct cover as a tf.train.Example."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from components.contracts import label_schema
from components.contracts.label_schema import LabelSchema, slice_feature
from components.cover_example_gen.images import ImageFacts, stored_image
from components.cover_example_gen.slice_values import SliceValues

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, slots=True)
class Cover:
    """One distinct cover.

    Attributes:
        facts: what is known about its image.
        group: name of its near-duplicate group.
        genres: schema genres, sorted.
        paths: where it was found, relative to the data directory, sorted.
        rows: number of rows that name it.
        file: path of one of the files that hold it; a string, as there may be very many covers.
        values: the values of the slice columns.
    """

    facts: ImageFacts
    group: str
    genres: tuple[str, ...]
    paths: tuple[str, ...]
    rows: int
    file: str
    values: SliceValues = ()


def read_image(cover: Cover, background: str) -> bytes | None:
    """Reads the cover's file again; None if it cannot be read or its bytes have changed.

    Args:
        cover: the cover.
        background: colour below the transparent pixels of a converted image.
    """
    try:
        with open(cover.file, "rb") as file:  # noqa: PTH123  # A Path of each cover takes longer.
            encoded = file.read()
    except OSError:
        return None
    if hashlib.sha256(encoded).hexdigest() != cover.facts.image_id:
        return None
    return stored_image(encoded, cover.facts, background)


def make_example(cover: Cover, schema: LabelSchema, encoded: bytes | None) -> tf.train.Example:
    """Returns the tf.train.Example of a cover; without its bytes, for statistics only."""
    import tensorflow as tf

    facts = cover.facts
    example = tf.train.Example()
    # Features are set in place: constructing each as a message takes three times as long.
    features = example.features.feature

    def texts(name: str, values: Iterable[str]) -> None:
        features[name].bytes_list.value.extend(map(os.fsencode, values))

    def integer(name: str, value: int) -> None:
        features[name].int64_list.value.append(value)

    texts(label_schema.IMAGE_ID, [facts.image_id])
    texts(label_schema.IMAGE_GROUP, [cover.group])
    texts(label_schema.IMAGE_PATH, cover.paths)
    texts(label_schema.IMAGE_FORMAT, [facts.format])
    integer(label_schema.IMAGE_WIDTH, facts.width)
    integer(label_schema.IMAGE_HEIGHT, facts.height)
    integer(label_schema.IMAGE_SIZE, facts.size)
    integer(label_schema.IMAGE_ORIENTATION, facts.orientation)
    features[label_schema.IMAGE_BRIGHTNESS].float_list.value.append(facts.brightness)
    if cover.genres:
        texts(label_schema.GENRES, cover.genres)
    features[label_schema.LABEL].float_list.value.extend(schema.multi_hot(cover.genres))
    for column, values in cover.values:
        texts(slice_feature(column), values)
    if encoded is not None:
        features[label_schema.IMAGE_ENCODED].bytes_list.value.append(encoded)
    return example
