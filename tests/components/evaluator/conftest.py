"""Models with known outputs, examples, and TFX's own Evaluator to run them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from components.evaluator.config import EvaluationConfig
from components.label_schema import GENRES, IMAGE_ID, LABEL, LabelSchema
from components.signatures import DECISIONS, EXAMPLES_SIGNATURE, PROBABILITIES

SHIPPED_SCHEMA = Path(__file__).parents[3] / "schema" / "schema.pbtxt"
GENRE_NAMES = ("electronic", "hiphop", "jazz", "pop", "rock")
DECISION_THRESHOLD = 0.5


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Labels and what a model returns for them; all of shape (examples, n).

    Attributes:
        labels: float32, 0 or 1.
        probabilities: float32.
    """

    labels: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]

    @property
    def decisions(self) -> npt.NDArray[np.float32]:
        """The decisions, float32, 0 or 1."""
        return (self.probabilities >= DECISION_THRESHOLD).astype(np.float32)


def make_outputs(seed: int, examples: int = 200, skill: float = 0.3) -> Outputs:
    """Returns random labels, at least one each, and probabilities that know them a little.

    Probabilities are rounded to two digits, so that there are ties.
    """
    random = np.random.default_rng(0)
    n = len(GENRE_NAMES)
    labels = random.random((examples, n)) < np.linspace(0.1, 0.4, n)
    labels[np.arange(examples), random.integers(0, n, examples)] = True
    noise = np.random.default_rng(seed).random((examples, n))
    probabilities = np.round((1.0 - skill) * noise + skill * labels, 2)
    return Outputs(labels.astype(np.float32), probabilities.astype(np.float32))


def make_schema() -> LabelSchema:
    """Returns the shipped schema with the genres of these tests."""
    return dataclasses.replace(LabelSchema.from_file(SHIPPED_SCHEMA), genres=GENRE_NAMES)


@pytest.fixture
def schema() -> LabelSchema:
    """The shipped schema with the genres of these tests."""
    return make_schema()


Evaluate = Callable[..., Path]


@pytest.fixture
def evaluate(tmp_path: Path, schema: LabelSchema, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Runs TFX's Evaluator executor; see `run_evaluator`."""
    monkeypatch.setattr(sys, "argv", sys.argv[:1])

    def evaluate_in_tmp_path(
        config: EvaluationConfig, candidate: Outputs, baseline: Outputs | None = None
    ) -> Path:
        return run_evaluator(tmp_path, schema, config, candidate, baseline)

    return evaluate_in_tmp_path


def run_evaluator(
    directory: Path,
    schema: LabelSchema,
    config: EvaluationConfig,
    candidate: Outputs,
    baseline: Outputs | None,
) -> Path:
    """Evaluates models that return fixed outputs by TFX's Evaluator executor.

    Returns:
        The directory of the `evaluation` artifact; the blessing is beside it.
    """
    from google.protobuf import json_format
    from tfx.components.evaluator.executor import Executor
    from tfx.types import standard_artifacts

    from components.evaluator.eval_config import make_eval_config

    examples = standard_artifacts.Examples()
    examples.uri = str(directory / "examples")
    examples.split_names = '["test"]'
    write_examples(directory / "examples" / "Split-test", candidate.labels)

    inputs = {"examples": [examples], "model": [_model(directory / "candidate", candidate)]}
    if baseline is not None:
        inputs["baseline_model"] = [_model(directory / "pushed", baseline)]
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = str(directory / "evaluation")
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(directory / "blessing")

    beam_args = ["--runner=DirectRunner", "--direct_running_mode=in_memory"]
    context = Executor.Context(beam_pipeline_args=beam_args, tmp_dir=str(directory / "tmp"))
    Executor(context).Do(
        inputs,
        {"evaluation": [evaluation], "blessing": [blessing]},
        {
            "eval_config": json_format.MessageToJson(make_eval_config(schema, config)),
            "example_splits": '["test"]',
            "fairness_indicator_thresholds": "null",
        },
    )
    return directory / "evaluation"


def write_examples(directory: Path, labels: npt.NDArray[np.float32]) -> None:
    """Writes one compressed file of examples; `image/id` is the row, as text."""
    import tensorflow as tf

    def feature(values: list[bytes]) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    directory.mkdir(parents=True)
    path = str(directory / "data_tfrecord-00000-of-00001.gz")
    with tf.io.TFRecordWriter(path, options="GZIP") as writer:
        for row, label in enumerate(labels):
            genres = [name.encode() for name, on in zip(GENRE_NAMES, label, strict=True) if on]
            features = {
                IMAGE_ID: feature([str(row).encode()]),
                GENRES: feature(genres),
                LABEL: tf.train.Feature(float_list=tf.train.FloatList(value=label)),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def _model(directory: Path, outputs: Outputs) -> object:
    import tensorflow as tf
    from tfx.types import standard_artifacts

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {IMAGE_ID: tf.io.FixedLenFeature([], tf.string)}
        ids = tf.io.parse_example(examples, spec)[IMAGE_ID]
        rows = tf.strings.to_number(ids, tf.int32)
        return {
            PROBABILITIES: tf.gather(tf.constant(outputs.probabilities), rows),
            DECISIONS: tf.gather(tf.constant(outputs.decisions), rows),
        }

    path = str(directory / "Format-Serving")
    tf.saved_model.save(module, path, signatures={EXAMPLES_SIGNATURE: serve_examples})
    model = standard_artifacts.Model()
    model.uri = str(directory)
    return model
