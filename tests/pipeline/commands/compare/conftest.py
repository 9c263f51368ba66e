"""Reports of runs with known predictions, written without running anything."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from components.contracts.evaluation_record import Evaluation, write_evaluation
from components.contracts.files import split_folder
from components.contracts.label_schema import IMAGE_ID, IMAGE_PATH, LABEL, TEST_SPLIT
from components.contracts.predictions import CANDIDATE, output_feature
from components.contracts.scores import Table
from components.contracts.signatures import (
    DECISIONS,
    PROBABILITIES,
    ModelDescription,
    write_model_description,
)
from components.evaluator.bootstrap import estimate
from components.evaluator.config import Intervals
from components.report_gen.build import write_report
from components.report_gen.sources import RunFacts, Sources

GENRES = ("country", "<img src=x onerror=window.harmed=1>", "東京")
COVERS = 300

MakeReport = Callable[..., Path]


@dataclasses.dataclass(frozen=True)
class Model:
    """Test covers and what a model says of them.

    Attributes:
        ids: of the covers.
        labels: bool (covers, n).
        probabilities: float64 (covers, n).
        genres: in the order of the columns.
    """

    ids: Sequence[str]
    labels: npt.NDArray[np.bool_]
    probabilities: npt.NDArray[np.float64]
    genres: tuple[str, ...] = GENRES


def make_model(seed: int = 1, skill: float = 0.2, genres: tuple[str, ...] = GENRES) -> Model:
    """Returns a model of some skill for covers and labels that are always the same."""
    labels = np.random.default_rng(0).random((COVERS, len(genres))) < 0.3
    noise = np.random.default_rng(seed).random(labels.shape)
    # Numbers of the same width, as predictions are ordered by identity.
    ids = [f"{row:04d}" for row in range(COVERS)]
    return Model(ids, labels, ((1.0 - skill) * noise + skill * labels).astype(np.float32), genres)


@pytest.fixture(scope="session")
def make_report() -> MakeReport:
    """Returns a function that writes a report, with predictions and model beside it."""

    def make(
        folder: Path,
        model: Model | None = None,
        *,
        epochs: int = 3,
        config: dict[str, Any] | None = None,
        model_folder: Path | None = None,
        predictions: Path | None = None,
    ) -> Path:
        model = model or make_model()
        model_folder = model_folder or folder / "model"
        predictions = predictions or folder / "predictions"
        thresholds = (0.5,) * len(model.genres)
        write_model_description(
            model_folder / "Format-Serving",
            ModelDescription(model.genres, thresholds, 64, "a recipe", {}),
        )
        _write_predictions(predictions, model)
        write_evaluation(folder / "evaluation", _evaluation(model))
        (folder / "model_run").mkdir(parents=True)
        history = {
            "epochs": [
                {"epoch": e, "loss": 1 / e, "val_loss": 1.1 / e, "val_macro_roc_auc": 0.6}
                for e in range(1, epochs + 1)
            ],
            "monitor": None,
            "exported_epoch": 2,
        }
        (folder / "model_run" / "history.json").write_text(json.dumps(history))
        facts = RunFacts(
            pipeline="tiny",
            outcome="pushed",
            data="labels.csv",
            config=config or {"name": "tiny", "trainer": {"epochs": epochs}},
            artifacts={
                "predictions": {"uri": str(predictions)},
                "model": {"uri": str(model_folder)},
            },
        )
        sources = Sources(evaluation=folder / "evaluation", model_run=folder / "model_run")
        return write_report(folder / "report", sources, facts).with_suffix(".json")

    return make


def _evaluation(model: Model) -> Evaluation:
    table = Table(model.labels, model.probabilities, model.probabilities >= 0.5)
    [found] = estimate({"": table}, np.ones(len(model.ids)), Intervals(resamples=50)).values()
    overall = {name: float(value) for name, value in found.overall.items()}
    per_genre = {
        genre: {name: float(value[place]) for name, value in found.per_genre.items()}
        for place, genre in enumerate(model.genres)
    }
    return Evaluation(
        overall=overall | {"example_count": float(len(model.ids))},
        per_genre=per_genre,
        slices={},
        genres=model.genres,
        confidence=0.95,
        blessed=True,
        checks=(),
        confusion=tuple((0,) * len(model.genres) for _ in model.genres),
        baseline=None,
    )


def _write_predictions(folder: Path, model: Model) -> None:
    import tensorflow as tf

    def text(value: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))

    def numbers(values: Any) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    split = split_folder(folder, TEST_SPLIT)
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "covers.gz"), options="GZIP") as out:
        for row, identity in enumerate(model.ids):
            probabilities = model.probabilities[row]
            features = {
                IMAGE_ID: text(identity),
                IMAGE_PATH: text(f"{identity}.jpg"),
                LABEL: numbers(model.labels[row]),
                output_feature(CANDIDATE, PROBABILITIES): numbers(probabilities),
                output_feature(CANDIDATE, DECISIONS): numbers(probabilities >= 0.5),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            out.write(example.SerializeToString())
