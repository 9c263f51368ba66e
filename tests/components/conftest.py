"""Models with known outputs, and the nodes that infer and evaluate them."""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import pytest

from components.contracts.label_schema import (
    GENRES,
    IMAGE_ENCODED,
    IMAGE_HEIGHT,
    IMAGE_ID,
    IMAGE_PATH,
    IMAGE_WIDTH,
    LABEL,
    TEST_SPLIT,
)
from components.contracts.signatures import (
    DECISIONS,
    EMBEDDINGS,
    EXAMPLES_SIGNATURE,
    PROBABILITIES,
    ModelDescription,
    write_model_description,
)
from components.evaluator.config import EvaluationConfig
from components.support.compat import LOCAL_BEAM_ARGS

_GENRES = ("electronic", "hiphop", "jazz", "pop", "rock")
_BEAM_ARGS = list(LOCAL_BEAM_ARGS)


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Labels, and what a model returns for them; all float32 of shape (examples, n)."""

    labels: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]

    @property
    def decisions(self) -> npt.NDArray[np.float32]:
        """1.0 where the probability is 0.5 or more, else 0.0."""
        return (self.probabilities >= 0.5).astype(np.float32)


@pytest.fixture(scope="session")
def genres() -> tuple[str, ...]:
    return _GENRES


@pytest.fixture(scope="session")
def make_outputs() -> Callable[..., Outputs]:
    """Returns a function that draws labels and probabilities that know them a little.

    The labels depend on the number of examples only. Probabilities have two digits, so
    that there are ties.
    """

    def make(model: int = 0, examples: int = 200, skill: float = 0.3) -> Outputs:
        random, n = np.random.default_rng(0), len(_GENRES)
        labels = random.random((examples, n)) < np.linspace(0.1, 0.4, n)
        labels[np.arange(examples), random.integers(0, n, examples)] = True
        noise = np.random.default_rng(model + 1).random((examples, n))
        probabilities = np.round((1.0 - skill) * noise + skill * labels, 2)
        return Outputs(labels.astype(np.float32), probabilities.astype(np.float32))

    return make


@pytest.fixture(scope="session")
def evaluate_into() -> Callable[..., Path]:
    """Returns a function that evaluates models with given outputs as the pipeline does.

    It makes a folder with `examples`, `candidate`, `baseline`, `predictions` and `blessing`, and
    returns that of the `evaluation` artifact. Covers have the images and paths given, or none,
    and of `slices`, slice feature -> the values of each cover, those that are not empty.
    """

    def evaluate(
        directory: Path,
        config: EvaluationConfig,
        candidate: Outputs,
        baseline: Outputs | None = None,
        genres: tuple[str, ...] = _GENRES,
        images: Sequence[bytes] = (),
        paths: Sequence[str] = (),
        slices: Mapping[str, Sequence[Sequence[str]]] | None = None,
    ) -> Path:
        examples = directory / "examples" / f"Split-{TEST_SPLIT}"
        _write_examples(examples, candidate.labels, genres, images, paths, slices or {})
        _write_model(directory / "candidate", candidate, genres)
        if baseline is not None:
            _write_model(directory / "baseline", baseline, genres)
        with pytest.MonkeyPatch.context() as patch:
            # TFX's Beam executors parse the command line again.
            patch.setattr(sys, "argv", sys.argv[:1])
            _run_evaluator(directory, config, has_baseline=baseline is not None)
        return directory / "evaluation"

    return evaluate


@pytest.fixture
def evaluate(tmp_path: Path, evaluate_into: Callable[..., Path]) -> Callable[..., Path]:
    """Returns `evaluate_into` a new folder each time."""
    numbers = itertools.count()

    def evaluate(*arguments: Any, **options: Any) -> Path:
        return evaluate_into(tmp_path / f"run-{next(numbers)}", *arguments, **options)

    return evaluate


def _run_evaluator(directory: Path, config: EvaluationConfig, *, has_baseline: bool) -> None:
    from tfx.types import standard_artifacts

    from components.batch_inference.component import BatchInferenceExecutor
    from components.evaluator.executor import Executor

    def artifact(artifact_type: Any, name: str) -> list[Any]:
        result = artifact_type()
        result.uri = str(directory / name)
        return [result]

    models = {"model": artifact(standard_artifacts.Model, "candidate")}
    if has_baseline:
        models["baseline_model"] = artifact(standard_artifacts.Model, "baseline")
    examples = artifact(standard_artifacts.Examples, "examples")
    examples[0].split_names = f'["{TEST_SPLIT}"]'
    predictions = artifact(standard_artifacts.Examples, "predictions")
    options = {"beam_pipeline_args": _BEAM_ARGS, "tmp_dir": str(directory / "tmp")}
    BatchInferenceExecutor(BatchInferenceExecutor.Context(**options)).Do(
        {"examples": examples, **models}, {"predictions": predictions}, {}
    )
    outputs = {
        "evaluation": artifact(standard_artifacts.ModelEvaluation, "evaluation"),
        "blessing": artifact(standard_artifacts.ModelBlessing, "blessing"),
    }
    properties = {"config": config.model_dump_json(), "code_fingerprint": ""}
    Executor(Executor.Context(**options)).Do(
        {"examples": predictions, **models}, outputs, properties
    )


def _write_examples(
    directory: Path,
    labels: npt.NDArray[np.float32],
    genres: tuple[str, ...],
    images: Sequence[bytes],
    paths: Sequence[str],
    slices: Mapping[str, Sequence[Sequence[str]]],
) -> None:
    """Writes one file of examples as TFX does; `image/id` is the row, as text.

    Every other image is 200 pixels wide, the others are 300.
    """
    import tensorflow as tf

    def feature(values: list[bytes]) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def pixels(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    directory.mkdir(parents=True)
    path = str(directory / "data_tfrecord-00000-of-00001.gz")
    with tf.io.TFRecordWriter(path, options="GZIP") as writer:
        for row, label in enumerate(labels):
            names = [name.encode() for name, on in zip(genres, label, strict=True) if on]
            features = {
                IMAGE_ID: feature([str(row).encode()]),
                GENRES: feature(names),
                IMAGE_WIDTH: pixels(200 if row % 2 else 300),
                IMAGE_HEIGHT: pixels(300),
                LABEL: tf.train.Feature(float_list=tf.train.FloatList(value=label)),
            }
            if images:
                features[IMAGE_ENCODED] = feature([images[row]])
                features[IMAGE_PATH] = feature([paths[row].encode()])
            for key, values in slices.items():
                if values[row]:
                    features[key] = feature([value.encode() for value in values[row]])
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def _write_model(directory: Path, outputs: Outputs, genres: tuple[str, ...]) -> None:
    """Saves a model that looks its outputs up by the row in `image/id`.

    Probabilities are also its embeddings.
    """
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {IMAGE_ID: tf.io.FixedLenFeature([], tf.string)}
        rows = tf.strings.to_number(tf.io.parse_example(examples, spec)[IMAGE_ID], tf.int32)
        return {
            PROBABILITIES: tf.gather(tf.constant(outputs.probabilities), rows),
            DECISIONS: tf.gather(tf.constant(outputs.decisions), rows),
            EMBEDDINGS: tf.gather(tf.constant(outputs.probabilities), rows),
        }

    path = str(directory / "Format-Serving")
    tf.saved_model.save(tf.Module(), path, signatures={EXAMPLES_SIGNATURE: serve_examples})
    thresholds = (0.5,) * len(genres)
    write_model_description(path, ModelDescription(genres, thresholds, 64, "a recipe", {}))
