"""How fast covers reach the model: the Trainer's input pipeline beside others.

    python benchmarks/input.py DATA [--config cnn] [--epochs 4] [--rounds 3]

Each way gives shuffled batches of the train split's covers, resized, with labels where it has
them; nothing is trained. The files of `image_dataset_from_directory` are the covers that ingest
kept, in a folder. `CPU ms` are per image. Of the rounds the fastest counts, and of the epochs after
the first their median.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from examples import ingest_covers, patterns, schema_file

from components.contracts.files import COMPRESSED_SUFFIX
from components.contracts.label_schema import IMAGE_ENCODED, TRAIN_SPLIT, LabelSchema
from components.trainer.config import TrainerConfig
from components.trainer.dataset import (
    Split,
    eval_dataset,
    load_images,
    read_split,
    train_dataset,
)
from pipeline.config import load_config

Epochs = Iterator[Iterable[object]]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a CSV manifest or a folder of covers")
    parser.add_argument("--config", default="cnn")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the covers, at least 2")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    config = load_config(options.config)
    trainer = config.trainer.model_copy(update={"epochs": options.epochs})
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as name:
        folder = Path(name)
        ingest_covers(options.data, folder, config.schema_text(), config.ingest)
        schema = LabelSchema.from_file(schema_file(folder))
        split = read_split(patterns(folder, TRAIN_SPLIT), schema, TRAIN_SPLIT)
        write_files(split, folder / "files" / "all")
        images = len(split.labels)
        candidates = ways(split, schema, trainer, folder / "files")
        # One round of all ways after the other: each meets the same neighbours on the machine.
        rounds = [
            {title: read(epochs, images, options.epochs) for title, epochs in candidates.items()}
            for _ in range(options.rounds)
        ]
        print(f"{images:,} covers to {trainer.image_size} px")
        print("| input | first epoch, images/s | CPU ms | later epochs, images/s | CPU ms |")
        print("|---|---|---|---|---|")
        for title in candidates:
            print_row(title, [each[title] for each in rounds], images)


def ways(
    split: Split, schema: LabelSchema, config: TrainerConfig, files: Path
) -> dict[str, Callable[[], Epochs]]:
    """Returns the ways to read a split, each a function that gives its epochs one by one."""
    size, batch = config.image_size, config.batch_size

    def by_trainer(cache: bool) -> Epochs:
        options = config.model_copy(update={"cache": cache})
        # Decoding into memory belongs to the first epoch.
        images = load_images(split, schema, options)
        batches = iter(train_dataset(split, images, schema, options))
        while True:
            yield (next(batches) for _ in range(split.steps(batch)))

    def from_directory(cache: bool) -> Epochs:
        dataset = keras.utils.image_dataset_from_directory(
            files, labels=None, image_size=(size, size), batch_size=batch, verbose=False
        )
        dataset = dataset.cache() if cache else dataset
        while True:
            yield dataset.prefetch(2)

    def decoded() -> np.ndarray:
        plain = eval_dataset(split, None, schema, config)
        return np.concatenate([images.numpy() for images, _ in plain])

    arrays = decoded()

    def from_slices() -> Epochs:
        slices = tf.data.Dataset.from_tensor_slices((arrays, split.labels))
        while True:
            yield slices.shuffle(len(arrays)).batch(batch).prefetch(2)

    def from_array() -> Epochs:
        random = np.random.default_rng(config.seed)
        while True:
            order = random.permutation(len(arrays))
            parts = (order[first : first + batch] for first in range(0, len(order), batch))
            yield (tf.convert_to_tensor(arrays[part]) for part in parts)

    return {
        "Trainer (`cache: true`)": lambda: by_trainer(True),
        "Trainer (`cache: false`)": lambda: by_trainer(False),
        "image_dataset_from_directory": lambda: from_directory(False),
        "image_dataset_from_directory, cache()": lambda: from_directory(True),
        "in-memory array, tf.data.Dataset.from_tensor_slices": from_slices,
        "in-memory array, NumPy indexing": from_array,
    }


def read(epochs: Callable[[], Epochs], images: int, count: int) -> np.ndarray:
    """Reads all epochs.

    Returns:
        float64, shape (count, 2): wall seconds, and CPU milliseconds per image, of each epoch.
    """
    clocks = [(time.perf_counter(), time.process_time())]
    passes = epochs()
    for _ in range(count):
        for _ in next(passes):
            pass
        clocks.append((time.perf_counter(), time.process_time()))
    return np.diff(clocks, axis=0) * (1.0, 1000 / images)


def print_row(title: str, rounds: list[np.ndarray], images: int) -> None:
    """Prints images/s and CPU milliseconds per image, of the round with the fastest epochs."""
    first = min((each[0] for each in rounds), key=lambda epoch: epoch[0])
    later = min((np.median(each[1:], axis=0) for each in rounds), key=lambda epoch: epoch[0])
    cells = [f"{images / wall:,.0f} | {cpu:.2f}" for wall, cpu in (first, later)]
    print(f"| {title} | {cells[0]} | {cells[1]} |", flush=True)


def write_files(split: Split, folder: Path) -> None:
    """Writes the covers of a split as files, one each."""
    folder.mkdir(parents=True)
    spec = {IMAGE_ENCODED: tf.io.FixedLenFeature((), tf.string)}
    number = 0
    for file in split.files:
        zipped = "GZIP" if file.endswith(COMPRESSED_SUFFIX) else None
        for record in tf.data.TFRecordDataset(file, zipped):
            encoded = tf.io.parse_single_example(record, spec)[IMAGE_ENCODED].numpy()
            suffix = ".jpg" if encoded.startswith(b"\xff\xd8") else ".png"
            (folder / f"{number:06d}{suffix}").write_bytes(encoded)
            number += 1


if __name__ == "__main__":
    main()
