"""The Beam pipeline that asks a model about some covers: the step that evaluation uses as well.

Images are read where they are asked about, and are not kept: between the steps that group, there
are only answers.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from components.batch_inference.inference import Predict, load_model
from components.contracts.label_schema import IMAGE_ENCODED, IMAGE_ID
from components.contracts.predictions import output_feature
from components.contracts.quarantine import RowRejected
from components.contracts.signatures import DECISIONS, PROBABILITIES, ModelDescription
from components.support import progress
from components.support.errors import CoversError
from pipeline.commands.batch_prediction.covers import CoverFile

STAGE = "predict"
UNREADABLE = "unreadable"

_MODEL = "model"
_READ_AT_ONCE = 16
_BATCH_SIZE = 8  # on processors larger ones are slower

Numbered = tuple[int, CoverFile]
Answer = dict[str, Any]


def answer(
    covers: Sequence[CoverFile],
    *,
    model: Path,
    description: ModelDescription,
    threads: int,
    beam_pipeline_args: Sequence[str],
    header: str,
    target: Path,
) -> None:
    """Writes a header and the answers for some covers to a file, each a JSON object in a line.

    An answer has `image` and `genres` and `probabilities`, or `reason` and `error`. Where an object
    store or the machine failed, it has `failure`, the name of the error's class, and `error`.

    Args:
        covers: what to ask about.
        model: folder of a SavedModel of this project.
        description: of that model.
        threads: files read at the same time.
        beam_pipeline_args: which engine works, and how.
        header: the first line.
        target: the file to write.
    """
    numbered = list(enumerate(covers))
    batches = [
        numbered[start : start + _READ_AT_ONCE] for start in range(0, len(numbered), _READ_AT_ONCE)
    ]
    with beam.Pipeline(options=PipelineOptions(list(beam_pipeline_args))) as pipeline:
        read = (
            pipeline
            | "Covers" >> beam.Create(batches)
            | "Read"
            >> beam.ParDo(_Read(description.background, threads)).with_outputs(
                UNREADABLE, main="examples"
            )
        )
        answered = (
            read["examples"]
            | Predict({_MODEL: str(model)}, _BATCH_SIZE, _loaded_once)
            | "Answers" >> beam.Map(functools.partial(_answer, genres=description.genres))
        )
        _ = (
            (answered, read[UNREADABLE])
            | beam.Flatten()
            | "Together" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(_Write(header, [cover.name for cover in covers], target))
        )


@functools.lru_cache(maxsize=1)
def _loaded_once(folder: str) -> Any:
    return load_model(folder)


class _Read(beam.DoFn):
    """Reads covers as tf.Examples; says of the others, by number, why they cannot be read."""

    def __init__(self, background: str, threads: int) -> None:
        self._background = background
        self._threads = threads
        self._failure: Answer | None = None

    def setup(self) -> None:
        self._pool = ThreadPoolExecutor(self._threads)

    def process(self, covers: Sequence[Numbered]) -> Iterator[Any]:
        for number, found in self._pool.map(self._read, covers):
            if isinstance(found, bytes):
                yield found
            else:
                yield beam.pvalue.TaggedOutput(UNREADABLE, (None, (number, found)))
            progress.advance(STAGE, 1)

    def _read(self, numbered: Numbered) -> tuple[int, bytes | Answer]:
        number, cover = numbered
        if self._failure:
            return number, self._failure
        try:
            return number, _example(number, cover.read(self._background))
        except RowRejected as rejected:
            return number, {"reason": rejected.reason.value, "error": rejected.detail}
        except CoversError as error:
            # Beam would make a text of it, with the lines of its own code.
            self._failure = {"failure": type(error).__name__, "error": str(error)}
            return number, self._failure

    def teardown(self) -> None:
        self._pool.shutdown()


class _Write(beam.DoFn):
    def __init__(self, header: str, names: Sequence[str], target: Path) -> None:
        self._header = header
        self._names = names
        self._target = target

    def process(self, grouped: tuple[None, Iterable[tuple[int, Answer]]]) -> None:
        answers = dict(grouped[1])
        with self._target.open("w", encoding="utf-8") as file:
            file.write(self._header + "\n")
            for number, name in enumerate(self._names):
                file.write(json.dumps({"image": name, **answers[number]}) + "\n")


def _example(number: int, encoded: bytes) -> bytes:
    import tensorflow as tf

    example = tf.train.Example()
    features: Mapping[str, Any] = example.features.feature
    features[IMAGE_ID].bytes_list.value.append(str(number).encode())
    features[IMAGE_ENCODED].bytes_list.value.append(encoded)
    return bytes(example.SerializeToString())


def _answer(serialized: bytes, genres: Sequence[str]) -> tuple[None, tuple[int, Answer]]:
    import tensorflow as tf

    features = tf.train.Example.FromString(serialized).features.feature
    number = int(features[IMAGE_ID].bytes_list.value[0])
    probabilities, decisions = (
        features[output_feature(_MODEL, output)].float_list.value
        for output in (PROBABILITIES, DECISIONS)
    )
    decided = itertools.compress(genres, (value > 0.5 for value in decisions))
    shortest = (float(str(np.float32(value))) for value in probabilities)
    return None, (
        number,
        {
            "genres": list(decided),
            "probabilities": dict(zip(genres, shortest, strict=True)),
        },
    )
