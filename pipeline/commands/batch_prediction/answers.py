"""The Beam pipeline that asks a model about parts: the step that evaluation uses as well.

Beam's elements are numbers of parts, and then batches of images, which are read where they are
asked about. Nothing is shuffled, so a part is one worker's from its first cover to its answers, and
is there when they are. Which covers are a batch depends on nothing but the part: a model's outputs
differ in the last digits from one size of batches to another.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from components.batch_inference.inference import Batch, Infer, Outputs, load_model
from components.contracts.files import SAVED_MODEL_FILE
from components.contracts.label_schema import IMAGE_ENCODED
from components.contracts.quarantine import RowRejected
from components.contracts.signatures import (
    DECISIONS,
    PROBABILITIES,
    ModelDescription,
    read_model_description,
)
from components.support import progress
from components.support.errors import CoversError, DeploymentError
from pipeline.commands.batch_prediction.covers import CoverFile
from pipeline.commands.batch_prediction.parts import Answer, Part

_MODEL = "model"
_READ_AT_ONCE = 16
_BATCH_SIZE = 8  # sizes from 2 to 8 are as fast on two processors, and 32 is slower
_FEWEST_THREADS = 4


def answer(
    numbers: Sequence[int],
    *,
    folder: Path,
    wanted: Path,
    model: Path,
    description: ModelDescription,
    threads: int,
    stage: str,
    beam_pipeline_args: Sequence[str],
) -> None:
    """Has Beam answer what was asked of parts.

    An answer has `image` and `genres` and `probabilities`, or `reason` and `error`. Where an object
    store or the machine failed, it has `failure`, the name of the error's class, and `error`.

    Args:
        numbers: those of the parts.
        folder: where the parts are; like the model, at this path on all workers.
        wanted: a file in it without which workers do nothing more.
        model: folder of a SavedModel of this project.
        description: of that model.
        threads: files read at the same time; 0 for as many as there are processors, at least 4.
        stage: whose progress it is, if this process works.
        beam_pipeline_args: which engine works, and how.
    """
    with beam.Pipeline(options=PipelineOptions(list(beam_pipeline_args))) as pipeline:
        _ = (
            pipeline
            | "Parts" >> beam.Create(list(numbers), reshuffle=len(numbers) > 1)
            | "Read" >> beam.ParDo(_Read(folder, wanted, model, description, threads, stage))
            | Infer({_MODEL: str(model)}, _loaded_once)
            | "Write" >> beam.ParDo(_Write(folder, wanted, description.genres))
        )


@functools.lru_cache(maxsize=1)
def _loaded_once(folder: str) -> Any:
    # If it is not there, whoever reads the covers says so instead of asking it.
    return load_model(folder) if Path(folder, SAVED_MODEL_FILE).is_file() else None


@dataclasses.dataclass(frozen=True)
class _Key:
    """What a batch is of.

    Attributes:
        part: number of the part.
        header: what the part answers for.
        names: what answers call the covers of the part.
        places: the place of each of the batch's examples in the part.
        others: place -> what is said of a cover without an example.
    """

    part: int
    header: str
    names: Sequence[str]
    places: Sequence[int]
    others: dict[int, Answer]


class _Read(beam.DoFn):
    """Yields the covers of a part in batches, with what is wrong with those that cannot be read."""

    def __init__(
        self,
        folder: Path,
        wanted: Path,
        model: Path,
        description: ModelDescription,
        threads: int,
        stage: str,
    ) -> None:
        self._stage = stage
        self._folder = folder
        self._wanted = wanted
        self._model = model
        self._description = description
        self._threads = threads
        self._failure: Answer | None = None

    def setup(self) -> None:
        threads = self._threads or max(_FEWEST_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads)
        self._failure = self._without_model()

    def process(self, number: int) -> Iterator[Batch]:
        part = Part(self._folder, number)
        header, covers = part.asked()
        # It was done before a worker died, and the job began again.
        if part.is_answered(header) or part.is_done(header):
            return
        names = [cover.name for cover in covers]
        for start, group in self._read_ahead(covers):
            if not self._wanted.exists():
                return
            read = dict(enumerate(group, start))
            others = {place: found for place, found in read.items() if isinstance(found, dict)}
            examples = [(place, each) for place, each in read.items() if isinstance(each, bytes)]
            for batch in _batches(examples):
                places = [place for place, _ in batch]
                key = _Key(number, header, names, places, others)
                yield Batch([encoded for _, encoded in batch], key)
                others = {}
            progress.advance(self._stage, len(group))

    def _read_ahead(
        self, covers: Sequence[CoverFile]
    ) -> Iterator[tuple[int, list[bytes | Answer]]]:
        """Yields what is read of some covers, while the next ones are being read."""
        starts = range(0, len(covers), _READ_AT_ONCE)
        groups = (covers[start : start + _READ_AT_ONCE] for start in starts)
        reading = self._pool.map(self._read, next(groups))
        for start in starts:
            read = list(reading)
            reading = self._pool.map(self._read, next(groups, ()))
            yield start, read

    def _read(self, cover: CoverFile) -> bytes | Answer:
        if self._failure:
            return self._failure
        try:
            return _example(cover.read(self._description.background))
        except RowRejected as rejected:
            return {"reason": rejected.reason.value, "error": rejected.detail}
        except CoversError as error:
            # Beam would make a text of it, with the lines of its own code.
            self._failure = _failure(error)
            return self._failure

    def _without_model(self) -> Answer | None:
        try:
            is_same = read_model_description(self._model) == self._description
        except CoversError:
            is_same = False
        if is_same:
            return None
        return _failure(
            DeploymentError(
                "Expected the engine's workers to see the same model at the same path. Received: "
                f"another one, or none, in {self._model} on one of them. Put it into a folder that "
                "all workers mount."
            )
        )

    def teardown(self) -> None:
        self._pool.shutdown()


class _Write(beam.DoFn):
    """Writes the answers of each part when the last of them is there."""

    def __init__(self, folder: Path, wanted: Path, genres: Sequence[str]) -> None:
        self._folder = folder
        self._wanted = wanted
        self._genres = genres

    def start_bundle(self) -> None:
        self._parts: dict[int, dict[int, Answer]] = {}

    def process(self, batch: Batch) -> None:
        key: _Key = batch.key
        answers = self._parts.setdefault(key.part, {})
        answers.update(key.others)
        for place, outputs in zip(key.places, batch.outputs[_MODEL], strict=True):
            answers[place] = _answer(outputs, self._genres)
        if len(answers) == len(key.names):
            del self._parts[key.part]
            if self._wanted.exists():
                named = ({"image": name, **answers[at]} for at, name in enumerate(key.names))
                Part(self._folder, key.part).answer(key.header, named)

    def finish_bundle(self) -> None:
        if self._parts and self._wanted.exists():
            raise CoversError(
                "Expected an engine that leaves a part with the worker that reads it. Received: "
                "parts of which some answers went elsewhere. Use --set engine.name=local."
            )


def _failure(error: CoversError) -> Answer:
    return {"failure": type(error).__name__, "error": str(error)}


def _batches(examples: Sequence[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """Yields batches of examples; an empty one if there are none."""
    for start in range(0, max(len(examples), 1), _BATCH_SIZE):
        yield list(examples[start : start + _BATCH_SIZE])


def _example(encoded: bytes) -> bytes:
    import tensorflow as tf

    example = tf.train.Example()
    features: Any = example.features.feature
    features[IMAGE_ENCODED].bytes_list.value.append(encoded)
    return bytes(example.SerializeToString())


def _answer(outputs: Outputs, genres: Sequence[str]) -> Answer:
    decided = itertools.compress(genres, outputs[DECISIONS] > 0.5)
    shortest = (float(str(np.float32(value))) for value in outputs[PROBABILITIES])
    return {
        "genres": list(decided),
        "probabilities": dict(zip(genres, shortest, strict=True)),
    }
