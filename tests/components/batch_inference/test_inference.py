"""Each cover goes through each model once, in batches of one size, and leaves its image behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.testing.util import assert_that

from components.batch_inference.inference import (
    INFERRED,
    METRICS_NAMESPACE,
    Batch,
    Infer,
    Predict,
)
from components.contracts.label_schema import GENRES, IMAGE_ENCODED, IMAGE_ID, TEST_SPLIT
from components.contracts.predictions import (
    BASELINE,
    CANDIDATE,
    OUTPUTS,
    output_feature,
    read_embeddings,
    read_predictions,
)
from components.contracts.signatures import (
    EMBEDDINGS,
    EXAMPLES_SIGNATURE,
    read_model_description,
)
from components.evaluator.config import EvaluationConfig
from components.support.compat import LOCAL_BEAM_ARGS

COVERS = 70


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory,
    evaluate_into: Callable[..., Path],
    make_outputs: Callable[..., Any],
) -> tuple[Path, dict[str, Any]]:
    """Returns the folder of an evaluation of two models, and their outputs."""
    folder = tmp_path_factory.mktemp("evaluated")
    outputs = {CANDIDATE: make_outputs(0, COVERS), BASELINE: make_outputs(1, COVERS)}
    evaluate_into(
        folder,
        EvaluationConfig(),
        *outputs.values(),
        images=[b"an image"] * COVERS,
        paths=[f"{row}.jpg" for row in range(COVERS)],
    )
    return folder, outputs


def _records(folder: Path) -> list[bytes]:
    files = [str(path) for path in (folder / f"Split-{TEST_SPLIT}").glob("*")]
    return list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


def test_each_cover_goes_through_each_model_once(evaluated: tuple[Path, dict[str, Any]]) -> None:
    folder, outputs = evaluated
    models = {name: str(folder / name / "Format-Serving") for name in outputs}
    pipeline = beam.Pipeline(argv=list(LOCAL_BEAM_ARGS))
    _ = pipeline | beam.Create(_records(folder / "examples")) | Predict(models, batch_size=32)
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query(MetricsFilter().with_namespace(METRICS_NAMESPACE))
    assert {each.key.metric.name: each.committed for each in counters["counters"]} == {
        f"{INFERRED}_{name}": COVERS for name in models
    }


def test_what_a_model_says_stands_beside_the_features_without_the_image(
    evaluated: tuple[Path, dict[str, Any]],
) -> None:
    folder, outputs = evaluated
    given = {
        _id(record): tf.train.Example.FromString(record) for record in _records(folder / "examples")
    }
    predicted = _records(folder / "predictions")
    assert len(predicted) == len(given) == COVERS
    for record in predicted:
        example = tf.train.Example.FromString(record)
        before = given.pop(_id(record))
        row = int(_id(record))
        for model, said in outputs.items():
            for output in OUTPUTS:
                feature = example.features.feature.pop(output_feature(model, output))
                np.testing.assert_array_equal(feature.float_list.value, getattr(said, output)[row])
        embedding = example.features.feature.pop(output_feature(CANDIDATE, EMBEDDINGS))
        np.testing.assert_array_equal(
            embedding.float_list.value, outputs[CANDIDATE].probabilities[row]
        )
        assert IMAGE_ENCODED not in example.features.feature
        del before.features.feature[IMAGE_ENCODED]
        assert example == before
        assert example.features.feature[GENRES].bytes_list.value
    assert not given


def test_predictions_are_read_by_identity(evaluated: tuple[Path, dict[str, Any]]) -> None:
    folder, outputs = evaluated
    for name, said in outputs.items():
        description = read_model_description(folder / name / "Format-Serving")
        read = read_predictions(folder / "predictions", description, name)
        assert list(read.ids) == sorted(read.ids)
        rows = [int(each) for each in read.ids]
        np.testing.assert_array_equal(read.probabilities, said.probabilities[rows])
        np.testing.assert_array_equal(read.decisions, said.decisions[rows] > 0.5)
        np.testing.assert_array_equal(read.labels, said.labels[rows] > 0.5)
        assert read.paths == tuple(f"{row}.jpg" for row in rows)


class _WithEmbeddings:
    """A model whose embeddings are the length of the example and the number of the batch's."""

    def __init__(self) -> None:
        self.signatures = {EXAMPLES_SIGNATURE: self._answer}

    def _answer(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        lengths = tf.cast(tf.strings.length(examples), tf.float32)
        nothing = tf.zeros([len(examples), 5])
        both = tf.stack([lengths, tf.fill(lengths.shape, float(len(examples)))], axis=1)
        return {EMBEDDINGS: both, **dict.fromkeys(OUTPUTS, nothing)}


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_a_share_of_the_covers_keeps_the_embeddings_of_the_candidate(
    evaluated: tuple[Path, dict[str, Any]], tmp_path: Path, share: float
) -> None:
    records = _records(evaluated[0] / "examples")
    target = tmp_path / f"Split-{TEST_SPLIT}" / "predictions"
    models = {CANDIDATE: "", BASELINE: ""}
    with beam.Pipeline(argv=list(LOCAL_BEAM_ARGS)) as pipeline:
        _ = (
            pipeline
            | beam.Create(records)
            | Predict(models, 32, lambda _: _WithEmbeddings(), share)
            | beam.io.WriteToTFRecord(str(target), file_name_suffix=".gz")
        )
    ids, embeddings = read_embeddings(tmp_path)
    assert len(ids) / COVERS == pytest.approx(share, abs=0.15)
    lengths = {_id(record): len(record) for record in records}
    assert embeddings.shape == (len(ids), 2 if share else 0)
    assert [lengths[each] for each in ids] == [row[0] for row in embeddings.tolist()]
    for record in _records(tmp_path):
        features = tf.train.Example.FromString(record).features.feature
        assert output_feature(BASELINE, EMBEDDINGS) not in features


def test_batches_go_through_the_models_as_they_are_given(
    evaluated: tuple[Path, dict[str, Any]],
) -> None:
    records = _records(evaluated[0] / "examples")
    given = [Batch(records[:3], "three"), Batch([], "none"), Batch(records[3:5], "two")]

    def check(batches: list[Batch]) -> None:
        assert [(each.key, each.examples) for each in batches] == [
            (each.key, each.examples) for each in given
        ]
        for batch in batches:
            for model in (CANDIDATE, BASELINE):
                sizes = [outputs[EMBEDDINGS][1] for outputs in batch.outputs[model]]
                assert sizes == [len(batch.examples)] * len(batch.examples)

    with beam.Pipeline(argv=list(LOCAL_BEAM_ARGS)) as pipeline:
        inferred = (
            pipeline
            | beam.Create([given])
            | beam.FlatMap(lambda each: each)
            | Infer({CANDIDATE: "", BASELINE: ""}, lambda _: _WithEmbeddings())
        )
        assert_that(inferred, check)


def _id(record: bytes) -> str:
    example = tf.train.Example.FromString(record)
    return example.features.feature[IMAGE_ID].bytes_list.value[0].decode()


def test_many_covers_fill_several_shards(
    tmp_path: Path,
    evaluated: tuple[Path, dict[str, Any]],
    evaluate_into: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, outputs = evaluated
    monkeypatch.setattr("components.batch_inference.component._MOST_IN_A_SHARD", 30)
    monkeypatch.setattr("components.batch_inference.component.check_split", lambda *_: COVERS)
    evaluation = evaluate_into(tmp_path, EvaluationConfig(), outputs[CANDIDATE])
    assert len(list((tmp_path / "predictions" / f"Split-{TEST_SPLIT}").iterdir())) == 3
    description = read_model_description(tmp_path / "candidate" / "Format-Serving")
    read = read_predictions(tmp_path / "predictions", description, CANDIDATE)
    whole = read_predictions(folder / "predictions", description, CANDIDATE)
    assert read.ids == whole.ids
    np.testing.assert_array_equal(read.probabilities, whole.probabilities)
    assert (evaluation / "record.json").is_file()
