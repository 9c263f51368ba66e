"""TFRecord files of tf.Examples to batches of covers and labels."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from components import label_schema
from components.compat import input_options
from components.errors import DataError
from components.trainer.config import TrainerConfig
from components.trainer.preprocessing import decode_and_resize

_CACHED_SHARE_OF_MEMORY = 0.5
_UNCACHED_SHUFFLE_BUFFER = 16_384
_PREFETCHED_BATCHES = 2

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Split:
    """One split on disk.

    Attributes:
        files: TFRecord files, sorted; gzipped where the name ends in `.gz`.
        labels: float32, shape (examples, genres), in the order of the files.
    """

    files: tuple[str, ...]
    labels: np.ndarray

    def steps(self, batch_size: int) -> int:
        """Returns the number of batches in one pass; the last may be smaller."""
        return -(-len(self.labels) // batch_size)


def read_split(patterns: Sequence[str], schema: label_schema.LabelSchema, name: str) -> Split:
    """Finds a split's files and reads its labels.

    Args:
        patterns: file patterns, as TFX passes them to a trainer.
        schema: names the genres.
        name: the split's name, for messages.

    Raises:
        DataError: there are no files, no examples or no labels, or the labels do not have
            the schema's shape, or a file is broken.
    """
    files = tuple(sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern)))
    spec = {label_schema.LABEL: label_schema.parsing_spec(schema)[label_schema.LABEL]}
    try:
        batches = [
            tf.io.parse_example(serialized, spec)[label_schema.LABEL].numpy()
            for serialized in _records(files).batch(1024)
        ]
    except tf.errors.OpError as error:
        raise DataError(
            f"Expected tf.Examples with '{label_schema.LABEL}' of {len(schema.genres)} floats, "
            f"one per genre of the schema, in the {name} split ({', '.join(patterns)}). "
            f"Received: {error.message}. Ingest the data again with this schema."
        ) from error
    examples = sum(len(batch) for batch in batches)
    if not examples:
        raise DataError(
            f"Expected examples in the {name} split. Received: {len(files)} files without any "
            f"({', '.join(patterns)}). Give more covers, or another split."
        )
    labels = np.concatenate(batches)
    if not labels.any():
        raise DataError(
            f"Expected labelled examples in the {name} split. Received: {examples} examples, "
            f"none with a genre of the schema ({', '.join(schema.genres)})."
        )
    return Split(files=files, labels=labels)


def train_dataset(
    split: Split, schema: label_schema.LabelSchema, config: TrainerConfig
) -> tf.data.Dataset:
    """Returns batches of the train split, reshuffled every epoch in an order the seed fixes.

    Yields:
        (image, label): tf.uint8 (batch, image_size, image_size, 3); tf.float32 (batch, genres).
    """
    size = len(split.labels)
    records = _records(split.files)
    if _is_cached(split, config):
        dataset = _decoded(records, schema, config).cache().shuffle(size, seed=config.seed)
    else:
        buffer = min(size, _UNCACHED_SHUFFLE_BUFFER)
        dataset = _decoded(records.shuffle(buffer, seed=config.seed), schema, config)
    return _batched(dataset, config)


def eval_dataset(
    split: Split, schema: label_schema.LabelSchema, config: TrainerConfig
) -> tf.data.Dataset:
    """Returns batches of a split in the order of its files, as in `split.labels`.

    Yields:
        (image, label): tf.uint8 (batch, image_size, image_size, 3); tf.float32 (batch, genres).
    """
    dataset = _decoded(_records(split.files), schema, config)
    return _batched(dataset.cache() if _is_cached(split, config) else dataset, config)


def _records(files: Sequence[str]) -> tf.data.Dataset:
    zipped = [file for file in files if file.endswith(".gz")]
    plain = [file for file in files if not file.endswith(".gz")]
    records = tf.data.TFRecordDataset(zipped, compression_type="GZIP")
    records = records.concatenate(tf.data.TFRecordDataset(plain))
    return records.with_options(input_options())


def _decoded(
    records: tf.data.Dataset, schema: label_schema.LabelSchema, config: TrainerConfig
) -> tf.data.Dataset:
    spec = label_schema.parsing_spec(schema)

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = tf.io.parse_single_example(serialized, spec)
        image = decode_and_resize(features[label_schema.IMAGE_ENCODED], config.image_size)
        return image, features[label_schema.LABEL]

    return records.map(parse, num_parallel_calls=os.cpu_count() or 1, deterministic=True)


def _batched(dataset: tf.data.Dataset, config: TrainerConfig) -> tf.data.Dataset:
    return dataset.batch(config.batch_size).prefetch(_PREFETCHED_BATCHES)


def _is_cached(split: Split, config: TrainerConfig) -> bool:
    needed = len(split.labels) * config.image_size**2 * 3
    if config.cache and needed > _CACHED_SHARE_OF_MEMORY * available_memory():
        _logger.warning("%.1f GB of decoded covers do not fit: not cached.", needed / 1e9)
        return False
    return config.cache


def available_memory() -> float:
    """Returns the bytes this process may still take, by the machine and its control group."""
    limits = [float("inf")]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        limits += [float(line.split()[1]) * 1024 for line in lines if "MemAvailable:" in line]
        group = Path("/sys/fs/cgroup")
        limit = float((group / "memory.max").read_text(encoding="ascii"))
        limits.append(limit - float((group / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):  # Not Linux, no control group, or one without a limit ("max").
        pass
    return min(limits)
