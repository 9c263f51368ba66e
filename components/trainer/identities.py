"""Who the covers of a split are."""

from __future__ import annotations

import tensorflow as tf

from components.contracts.files import COMPRESSED_SUFFIX
from components.contracts.label_schema import IMAGE_GROUP, IMAGE_ID, IMAGE_PATH
from components.support.compat import input_options
from components.trainer.dataset import Split

_AT_ONCE = 256


def identities(split: Split) -> tuple[list[str], list[str], list[str]]:
    """Returns identity, near-duplicate group and first path of each cover, in the files' order."""
    spec = {
        IMAGE_ID: tf.io.FixedLenFeature((), tf.string, ""),
        IMAGE_GROUP: tf.io.FixedLenFeature((), tf.string, ""),
        IMAGE_PATH: tf.io.RaggedFeature(tf.string),
    }
    ids: list[str] = []
    groups: list[str] = []
    paths: list[str] = []
    for file in split.files:
        zipped = "GZIP" if file.endswith(COMPRESSED_SUFFIX) else ""
        records = tf.data.TFRecordDataset(file, zipped).with_options(input_options())
        for serialized in records.batch(_AT_ONCE):
            parsed = tf.io.parse_example(serialized, spec)
            ids += [_text(each) for each in parsed[IMAGE_ID].numpy()]
            groups += [_text(each) for each in parsed[IMAGE_GROUP].numpy()]
            listed = parsed[IMAGE_PATH].to_list()
            paths += [_text(each[0]) if each else "" for each in listed]
    own = [group or identity for group, identity in zip(groups, ids, strict=True)]
    return ids, own, paths


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="backslashreplace")
