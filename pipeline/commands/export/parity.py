"""Whether a converted model answers as the pushed one does, on covers."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from components.contracts.quarantine import RowRejected
from components.contracts.saved_models import LoadedModel
from components.contracts.signatures import DECISIONS, IMAGE_BYTES, PROBABILITIES
from components.cover_example_gen.image_names import has_image_suffix
from components.support.errors import ConfigError, DeploymentError
from pipeline.commands.export.formats import Answer
from pipeline.commands.predict import read_image
from pipeline.commands.sample import IMAGES_FOLDER, write_sample

LARGEST_DIFFERENCE = 1e-4
FEWEST_COVERS = 8
MOST_COVERS = 256
_GENERATED = 16
_BATCH_SIZE = 8
_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Parity:
    """How close two models are.

    Attributes:
        covers: number of covers that both were asked about.
        largest_difference: the largest absolute difference of a probability.
        differing_decisions: how many decisions differ, of covers times genres.
        saved_model_speed: covers a second, from pixels to probabilities, in TensorFlow.
        runtime_speed: the same in the other runtime.
    """

    covers: int
    largest_difference: float
    differing_decisions: int
    saved_model_speed: float
    runtime_speed: float

    def require(self, runtime: str) -> None:
        """Raises if the difference is more than rounding.

        Args:
            runtime: which one was asked, for the message.

        Raises:
            DeploymentError: probabilities differ too much, or a decision differs.
        """
        # Written so that a difference that is no number fails.
        if self.largest_difference <= LARGEST_DIFFERENCE and not self.differing_decisions:
            return
        raise DeploymentError(
            f"Expected {runtime} to answer as the SavedModel does: probabilities within "
            f"{LARGEST_DIFFERENCE:g}, equal decisions. Received: a difference of "
            f"{self.largest_difference:.2g} and {self.differing_decisions:,} other decisions on "
            f"{self.covers:,} covers. Nothing was written. Take the other format."
        )


def read_covers(given: Sequence[Path], background: str) -> list[bytes]:
    """Returns the encoded covers to compare on, as ingest would store them.

    Args:
        given: files, and folders that are searched; none of them asks for generated pictures.
        background: colour onto which transparent covers are put.

    Raises:
        ConfigError: too few of them can be read.
    """
    if not given:
        with tempfile.TemporaryDirectory(prefix="covers-") as folder:
            sample = write_sample(Path(folder) / "covers", genres=("a", "b"), images=_GENERATED)
            return [read_image(file) for file in sorted((sample / IMAGES_FOLDER).iterdir())]
    files = [file for path in given for file in _image_files(path)]
    read: list[bytes] = []
    reason = ""
    for file in files[:: max(1, -(-len(files) // MOST_COVERS))]:
        try:
            read.append(read_image(file, background))
        except RowRejected as rejected:
            reason = reason or f" The first of the others, {file}: {rejected.detail}"
    if len(read) < FEWEST_COVERS:
        raise ConfigError(
            f"Expected at least {FEWEST_COVERS} covers to compare on. Received: {len(read)} that "
            f"can be read.{reason} Give more with --covers, or leave it out for generated ones."
        )
    return read


def _image_files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(file for file in path.rglob("*") if has_image_suffix(file.name))


def compare(
    model: LoadedModel, network: Answer, converted: Answer, covers: Sequence[bytes]
) -> Parity:
    """Asks the pushed model for encoded covers, and the converted one for their pixels.

    Args:
        model: the SavedModel's serving signature, which decodes by itself.
        network: the SavedModel's network; only its speed is measured.
        converted: the converted model.
        covers: encoded.
    """
    import tensorflow as tf

    from components.trainer.preprocessing import decode_and_resize_batch
    from components.trainer.thresholds import DecisionRule

    description = model.description
    rule = DecisionRule(
        np.array(description.thresholds, np.float32), description.at_least_one_genre
    )
    pixels = decode_and_resize_batch(tf.constant(covers), description.image_size).numpy()
    # The first batch is a single cover: the size of a batch is free.
    starts = [0, *range(1, len(covers), _BATCH_SIZE), len(covers)]
    parts = [slice(*ends) for ends in itertools.pairwise(starts)]
    expected = [model.ask(**{IMAGE_BYTES: covers[part]}) for part in parts]
    probabilities = np.concatenate([outputs[PROBABILITIES] for outputs in expected])
    decisions = np.concatenate([outputs[DECISIONS] for outputs in expected])
    received = np.concatenate([converted(pixels[part]) for part in parts])
    if received.shape != probabilities.shape:
        raise DeploymentError(
            f"Expected probabilities of shape {probabilities.shape} from the converted model. "
            f"Received: {received.shape}. Nothing was written. Take the other format."
        )
    return Parity(
        covers=len(covers),
        largest_difference=float(np.abs(received - probabilities).max()),
        differing_decisions=int((rule.decide(received) != decisions.astype(bool)).sum()),
        saved_model_speed=_speed(network, pixels),
        runtime_speed=_speed(converted, pixels),
    )


def _speed(answer: Answer, pixels: np.ndarray) -> float:
    """Returns covers a second in whole batches, after a first one that is not counted."""
    batches = [
        pixels[start : start + _BATCH_SIZE]
        for start in range(0, len(pixels) - _BATCH_SIZE + 1, _BATCH_SIZE)
    ]
    answer(batches[0])
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < _SECONDS:
        answer(batches[done % len(batches)])
        done += 1
    return done * _BATCH_SIZE / elapsed
