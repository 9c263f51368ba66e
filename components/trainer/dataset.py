"""TFRecord files of tf.Examples to batches of covers and labels."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.contracts import label_schema
from components.contracts.examples_account import check_split
from components.contracts.files import COMPRESSED_SUFFIX
from components.contracts.genre_names import listing
from components.support.compat import input_options
from components.support.errors import DataError
from components.trainer.config import TrainerConfig
from components.trainer.parts import WHOLE, Part
from components.trainer.preprocessing import decode_and_resize

# Decoding into memory holds the covers twice for a moment.
_CACHED_SHARE_OF_MEMORY = 0.25
_SHUFFLED_BLOCK = 8_192
_FILES_AT_A_TIME = 8
_PREFETCHED_BATCHES = 2
_EXAMPLES_AT_ONCE = 256

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Position:
    """A place in a training: `step` batches of epoch `epoch` are done; both count from 0."""

    epoch: int
    step: int


START = Position(0, 0)


@dataclasses.dataclass(frozen=True)
class Split:
    """One split on disk.

    Attributes:
        files: TFRecord files, sorted; gzipped where the name ends in `.gz`.
        labels: float32, shape (examples, genres), in the order of the files.
        ids: sha256 of the images as they are stored, hex, in the order of the files; other than
            `image/id` where ingest converted the image.
    """

    files: tuple[str, ...]
    labels: np.ndarray
    ids: tuple[str, ...]

    def steps(self, batch_size: int) -> int:
        """Returns the number of batches in one pass; the last may be smaller."""
        return -(-len(self.labels) // batch_size)


def read_split(patterns: Sequence[str], schema: label_schema.LabelSchema, name: str) -> Split:
    """Finds a split's files and reads its labels and the covers' identities.

    Args:
        patterns: file patterns, as TFX passes them to a trainer.
        schema: names the genres.
        name: the split's name, for messages.

    Raises:
        DamagedArtifact: the files are not those that ingest wrote.
        DataError: there are no files, no examples or no labels, or the labels do not have
            the schema's shape, or a file is broken.
    """
    for pattern in patterns:
        check_split(Path(pattern).parents[1], name)
    files = tuple(sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern)))
    spec = {
        label_schema.LABEL: label_schema.parsing_spec(schema)[label_schema.LABEL],
        label_schema.IMAGE_ENCODED: tf.io.FixedLenFeature((), tf.string),
    }
    ids: list[str] = []
    batches: list[np.ndarray] = []
    try:
        for serialized in _records(files).batch(_EXAMPLES_AT_ONCE):
            parsed = tf.io.parse_example(serialized, spec)
            batches.append(parsed[label_schema.LABEL].numpy())
            encoded = parsed[label_schema.IMAGE_ENCODED].numpy()
            ids += [hashlib.sha256(image).hexdigest() for image in encoded]
    except tf.errors.OpError as error:
        raise DataError(
            f"Expected tf.Examples with '{label_schema.IMAGE_ENCODED}' and "
            f"'{label_schema.LABEL}' of {len(schema.genres)} floats, one per genre of the schema, "
            f"in the {name} split ({', '.join(patterns)}). "
            f"Received: {error.message}. Ingest the data again with this schema."
        ) from error
    examples = len(ids)
    if not examples:
        raise DataError(
            f"Expected examples in the {name} split. Received: {len(files)} files without any "
            f"({', '.join(patterns)}). Add more covers, or change the splits."
        )
    labels = np.concatenate(batches)
    if not labels.any():
        raise DataError(
            f"Expected labelled examples in the {name} split. Received: {examples} examples, "
            f"none with a genre of the schema ({listing(schema.genres)})."
        )
    return Split(files, labels, tuple(ids))


def label_prior(labels: np.ndarray) -> np.ndarray:
    """Returns each genre's share of the examples, kept half an example away from 0 and 1.

    Args:
        labels: float32, shape (examples, genres), 0 or 1.

    Returns:
        float64, shape (genres,), strictly between 0 and 1.
    """
    edge = 0.5 / len(labels)
    return np.clip(labels.mean(axis=0, dtype=np.float64), edge, 1.0 - edge)


def load_images(
    split: Split, schema: label_schema.LabelSchema, config: TrainerConfig
) -> tf.Tensor | None:
    """Decodes a split's covers into memory, in the order of its files.

    Returns:
        tf.uint8, shape (examples, image_size, image_size, 3), in the machine's own memory; None
        where the configuration or the memory says no: they are then decoded in every epoch. None,
        too, with a frozen backbone that sees each cover once.

    Raises:
        tf.errors.InvalidArgumentError: a cover does not decode.
    """
    if config.trains_on_features or not _fits(split, config):
        return None
    shape = (len(split.labels), config.image_size, config.image_size, 3)
    images = np.empty(shape, np.uint8)
    # Batches are prefetched: decoding goes on while they are copied here.
    batches = _batched(_decoded(_records(split.files), schema, config), config.batch_size)
    done = 0
    for batch, _ in batches:
        images[done : done + len(batch)] = batch
        done += len(batch)
    with tf.device("CPU:0"):
        return tf.convert_to_tensor(images)


def train_dataset(
    split: Split,
    images: tf.Tensor | None,
    schema: label_schema.LabelSchema,
    config: TrainerConfig,
    start: Position = START,
    part: Part = WHOLE,
) -> tf.data.Dataset:
    """Returns the batches of all epochs from `start` on, one after the other.

    Each epoch has an order of its own, which follows from the seed and the epoch alone: a
    training run that resumes from a position sees what it would have seen.

    Args:
        split: the train split.
        images: its decoded covers, from `load_images`, or None to decode them as they come.
        schema: names the features.
        config: batch size, image size, epochs and seed.
        start: the first batch to return.
        part: of each batch; the others' covers are not decoded.

    Yields:
        (image, label): tf.uint8 (batch, image_size, image_size, 3); tf.float32 (batch, genres).
        With a part of several, (image, label, count) of its covers; see `Part.of_epoch`.
    """
    epochs = tf.data.Dataset.range(start.epoch, config.epochs)
    size = part.size(config.batch_size)
    if images is None:

        def decoded(epoch: tf.Tensor) -> tf.data.Dataset:
            done = tf.where(epoch == start.epoch, tf.constant(start.step * size, tf.int64), 0)
            records = _part_of(_shuffled_records(split, config, epoch), split, config, part)
            return _decoded(records.skip(done), schema, config).batch(size)

        batches = epochs.flat_map(decoded).with_options(input_options())
        return batches.prefetch(_PREFETCHED_BATCHES)
    with tf.device("CPU:0"):
        labels = tf.convert_to_tensor(split.labels)

    def indices(epoch: tf.Tensor) -> tf.data.Dataset:
        order = _permutation(len(split.labels), config, epoch)
        rows = tf.data.Dataset.from_tensor_slices(order)
        return _part_of(rows, split, config, part).batch(size)

    def gather(index: tf.Tensor, *count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tf.gather(images, index), tf.gather(labels, index), *count

    batches = epochs.flat_map(indices).skip(start.step).with_options(input_options())
    return batches.map(gather, num_parallel_calls=2, deterministic=True).prefetch(
        _PREFETCHED_BATCHES
    )


def eval_dataset(
    split: Split,
    images: tf.Tensor | None,
    schema: label_schema.LabelSchema,
    config: TrainerConfig,
    part: Part = WHOLE,
) -> tf.data.Dataset:
    """Returns the batches of a split in the order of its files, as in `split.labels`.

    Args:
        split: any split.
        images: its decoded covers, from `load_images`, or None to decode them as they come.
        schema: names the features.
        config: batch size and image size.
        part: of each batch; the others' covers are not decoded.

    Yields:
        What `train_dataset` does.
    """
    size = part.size(config.batch_size)
    if images is None:
        records = _part_of(_records(split.files), split, config, part)
        return _batched(_decoded(records, schema, config), size)
    with tf.device("CPU:0"):
        pairs = tf.data.Dataset.from_tensor_slices((images, split.labels))
    pairs = _part_of(pairs.with_options(input_options()), split, config, part)
    if not part.is_whole:
        pairs = pairs.map(lambda pair, count: (*pair, count))
    return _batched(pairs, size)


def images_dataset(
    split: Split,
    images: tf.Tensor | None,
    rows: np.ndarray,
    schema: label_schema.LabelSchema,
    config: TrainerConfig,
) -> tf.data.Dataset:
    """Returns batches of some of a split's covers; the others are not decoded.

    Args:
        split: any split.
        images: its decoded covers, from `load_images`, or None to decode them as they come.
        rows: int64, shape (covers,): which, rising.
        schema: names the features.
        config: batch size and image size.

    Yields:
        tf.uint8, shape (batch, image_size, image_size, 3).
    """
    if images is not None:
        with tf.device("CPU:0"):
            indices = tf.data.Dataset.from_tensor_slices(rows).with_options(input_options())
        return indices.batch(config.batch_size).map(lambda index: tf.gather(images, index))
    chosen = np.zeros(len(split.ids), bool)
    chosen[rows] = True
    wanted = tf.constant(chosen)
    records = _records(split.files).enumerate().filter(lambda row, _: wanted[row])
    decoded = _decoded(records.map(lambda _, record: record), schema, config)
    return _batched(decoded.map(lambda image, _: image), config.batch_size)


def _records(files: Sequence[str]) -> tf.data.Dataset:
    return _from_files(tf.constant(files, tf.string), cycle_length=1)


def _shuffled_records(split: Split, config: TrainerConfig, epoch: tf.Tensor) -> tf.data.Dataset:
    """Files in another order every epoch, several at a time, then shuffled block by block."""
    files = tf.gather(tf.constant(split.files), _permutation(len(split.files), config, epoch))
    blocks = _from_files(files, min(len(split.files), _FILES_AT_A_TIME)).batch(_SHUFFLED_BLOCK)

    def shuffled(block: tf.Tensor) -> tf.Tensor:
        return tf.gather(block, _permutation(tf.shape(block)[0], config, epoch))

    return blocks.map(shuffled).unbatch()


def _from_files(files: tf.Tensor, cycle_length: int) -> tf.data.Dataset:
    def read(file: tf.Tensor) -> tf.data.Dataset:
        zipped = tf.strings.regex_full_match(file, f".*{re.escape(COMPRESSED_SUFFIX)}")
        return tf.data.TFRecordDataset(file, tf.where(zipped, "GZIP", ""))

    paths = tf.data.Dataset.from_tensor_slices(files)
    return paths.interleave(read, cycle_length).with_options(input_options())


def _permutation(size: int | tf.Tensor, config: TrainerConfig, epoch: tf.Tensor) -> tf.Tensor:
    seed = tf.stack([tf.constant(config.seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.stateless_shuffle(tf.range(size), seed)


def _decoded(
    records: tf.data.Dataset, schema: label_schema.LabelSchema, config: TrainerConfig
) -> tf.data.Dataset:
    spec = label_schema.parsing_spec(schema)

    def parse(serialized: tf.Tensor, *count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        features = tf.io.parse_single_example(serialized, spec)
        image = decode_and_resize(features[label_schema.IMAGE_ENCODED], config.image_size)
        return image, features[label_schema.LABEL], *count

    return records.map(parse, num_parallel_calls=os.cpu_count() or 1, deterministic=True)


def _part_of(
    items: tf.data.Dataset, split: Split, config: TrainerConfig, part: Part
) -> tf.data.Dataset:
    if part.is_whole:
        return items
    return part.of_epoch(items, len(split.labels), config.batch_size)


def _batched(dataset: tf.data.Dataset, size: int) -> tf.data.Dataset:
    return dataset.batch(size).prefetch(_PREFETCHED_BATCHES)


def _fits(split: Split, config: TrainerConfig) -> bool:
    needed = len(split.labels) * config.image_size**2 * 3
    if config.cache and needed > _CACHED_SHARE_OF_MEMORY * available_memory():
        _logger.warning("%.1f GB of decoded covers do not fit: not cached.", needed / 1e9)
        return False
    return config.cache


def available_memory() -> float:
    """Returns the bytes this process may still use, by the machine and its control group."""
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
