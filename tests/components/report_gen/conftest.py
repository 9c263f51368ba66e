"""Reports of runs with known predictions and names that try to do harm."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.contracts.decisions import Decision, Refusal
from components.contracts.diagnosis import Finding, write_diagnosis
from components.contracts.evaluation_record import Evaluation, ModelMetrics, write_evaluation
from components.contracts.files import split_folder
from components.contracts.label_schema import (
    IMAGE_ENCODED,
    IMAGE_ID,
    IMAGE_PATH,
    LABEL,
    TEST_SPLIT,
)
from components.contracts.predictions import CANDIDATE, output_feature
from components.contracts.quarantine import (
    IngestSummary,
    QuarantinedRow,
    write_quarantine,
    write_summary,
)
from components.contracts.scores import Table
from components.contracts.signatures import (
    DECISIONS,
    EMBEDDINGS,
    PROBABILITIES,
    ModelDescription,
    write_model_description,
)
from components.evaluator.bootstrap import estimate
from components.evaluator.config import EvaluationConfig, GateConfig, Intervals, Threshold
from components.evaluator.results import _checks
from components.report_gen.build import write_report
from components.report_gen.sources import RunFacts, Sources

HARM = "<img src=x onerror=window.harmed=1>"
GENRES = ("electronic", "1990", HARM, "rock & roll", "naïve")
PATHS = ("</script><script>window.harmed=1</script>.jpg", f'"{HARM}.jpg', "plain.jpg")
STOPPED = Decision(
    "DataGate",
    "The data were stopped at the gate",
    (
        Refusal(
            "rows of labels.csv",
            "rows of labels.csv: expected at most 2.0% quarantined. Received: 20 of 200 (10.0%): "
            f"{HARM} 20.",
            value=0.1,
            bound=0.02,
            support=200,
            remedy="Fix or remove the rows listed in quarantine.jsonl, or raise "
            "data_gate.max_quarantined_share.",
        ),
        Refusal(
            "feature 'genres', split 'train'",
            "feature 'genres', split 'train': Unexpected string values: polka (~3%).",
            remedy="Fix the data, or edit 'genres' in the schema if the data are right.",
        ),
    ),
)

_COVERS = 200


@dataclasses.dataclass(frozen=True)
class WrittenReport:
    """A report, and what it was made from.

    Attributes:
        page: the HTML file.
        outputs: labels and the model's outputs; None if there is no model.
        baseline: outputs of the pushed model; None if there is none.
    """

    page: Path
    outputs: Any = None
    baseline: Any = None

    @property
    def content(self) -> dict[str, Any]:
        """What the twin for machines says."""
        return dict(json.loads(self.page.with_suffix(".json").read_text()))


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory, labels: Any) -> Sources:
    """What a run makes before the evaluation."""
    root = tmp_path_factory.mktemp("artifacts")
    for name in ("schema", "quarantine", "statistics", "anomalies", "model_run"):
        (root / name).mkdir()
    (root / "schema" / "schema.pbtxt").write_text(f"# {HARM}\n")
    rows = [
        QuarantinedRow(
            "labels.csv", line, f"{line}{HARM}.jpg", "unknown_genre", f"Received: {HARM}"
        )
        for line in range(2, 32)
    ]
    write_quarantine(root / "quarantine", rows)
    genres_by_split = {split: dict.fromkeys(GENRES, 30) for split in ("train", "eval", "test")}
    counts = {"train": 140, "eval": 60, "test": _COVERS}
    summary = IngestSummary(
        "labels.csv", 432, 402, 30, {"unknown_genre": 30}, 400, counts, 3, 7, genres_by_split
    )
    write_summary(root / "quarantine", summary)
    _write_statistics(root)
    _write_anomalies(root)
    epochs = [
        {"epoch": e, "loss": 1 / e, "val_loss": 1.1 / e, "val_macro_roc_auc": 0.6}
        for e in (1, 2, 3)
    ]
    history = {"epochs": epochs, "monitor": "val_macro_roc_auc", "exported_epoch": 2}
    (root / "model_run" / "history.json").write_text(json.dumps(history))
    finding = Finding("all_zero_predictions", "warning", f"All zero {HARM}.", "Lower a threshold.")
    write_diagnosis(root / "model_run", [finding])
    names = ("schema", "quarantine", "statistics", "anomalies", "model_run")
    return Sources(**{name: root / name for name in names})


def _write_statistics(root: Path) -> None:
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = statistics.datasets.add(num_examples=140)
    width = dataset.features.add(path={"step": ["image/width"]})
    width.num_stats.mean = 300.0
    genres = dataset.features.add(path={"step": ["genres"]})
    genres.type = statistics_pb2.FeatureNameStatistics.STRING
    genres.string_stats.unique = len(GENRES)
    for genre in GENRES:
        genres.string_stats.top_values.add(value=genre, frequency=30)
    folder = root / "statistics" / "Split-train"
    folder.mkdir()
    (folder / "FeatureStats.pb").write_bytes(statistics.SerializeToString())


def _write_anomalies(root: Path) -> None:
    anomalies = anomalies_pb2.Anomalies()
    anomalies.anomaly_info["genres"].short_description = "Unexpected string values"
    anomalies.anomaly_info["genres"].description = f"Missing from the schema: {HARM}"
    drift = anomalies.drift_skew_info.add(path={"step": ["image/width"]})
    drift.drift_measurements.add(value=0.5, threshold=0.1)
    folder = root / "anomalies" / "Split-train"
    folder.mkdir()
    (folder / "SchemaDiff.pb").write_bytes(anomalies.SerializeToString())


@pytest.fixture(scope="session")
def refused(
    tmp_path_factory: pytest.TempPathFactory,
    sources: Sources,
    evaluate_into: Callable[..., Path],
    make_outputs: Callable[..., Any],
    draw_cover: Callable[..., Image.Image],
) -> WrittenReport:
    """The report of an unblessed model, compared with a better one."""
    directory = tmp_path_factory.mktemp("refused")
    candidate, pushed = make_outputs(0), make_outputs(1, skill=0.4)
    buffer = io.BytesIO()
    draw_cover(1).save(buffer, "JPEG")
    images = [buffer.getvalue()] * (_COVERS - 1) + [b"no image"]
    paths = [PATHS[row % len(PATHS)] for row in range(_COVERS)]
    bound = Threshold(at_least=0.85, tolerance=0.02)
    gate = GateConfig(
        min_support=60, overall={"macro_roc_auc": bound}, per_genre={"roc_auc": bound}
    )
    config = EvaluationConfig(gate=gate, intervals=Intervals(resamples=100))
    slices = {
        f"slice/{HARM}": [[HARM if row % 2 else "</table>"] for row in range(_COVERS)],
        "slice/year": [[str(1950 + row % 60)] if row % 5 else [] for row in range(_COVERS)],
        "slice/rare": [["x" * 100], *[[]] * (_COVERS - 1)],
    }
    evaluation = evaluate_into(directory, config, candidate, pushed, GENRES, images, paths, slices)
    complete = dataclasses.replace(
        sources,
        examples=directory / "examples",
        model=directory / "candidate" / "Format-Serving",
        predictions=directory / "predictions",
        evaluation=evaluation,
    )
    facts = RunFacts(
        pipeline="covers",
        outcome="not_blessed",
        data=f"covers {HARM}",
        data_fingerprint="f" * 64,
        config={"name": "covers", "note": HARM},
        baseline_version="1795500100",
        passed_over=(f"Pushed version 1795500200 was not compared with: {HARM}",),
        artifacts={"model": {"uri": f"/artifacts/{HARM}", "id": 7}},
    )
    return WrittenReport(write_report(directory / "report", complete, facts), candidate, pushed)


@pytest.fixture(scope="session")
def hundred(
    tmp_path_factory: pytest.TempPathFactory,
    sources: Sources,
    make_outputs: Callable[..., Any],
    draw_cover: Callable[..., Image.Image],
) -> WrittenReport:
    """The report of a model of a hundred genres, compared with another, and of slice columns.

    Its evaluation is made of the Evaluator's own parts, without TFMA, which would take minutes.
    """
    directory = tmp_path_factory.mktemp("hundred")
    random = np.random.default_rng(0)
    genres = tuple(f"{_KINDS[n % 10]} {_STYLES[n // 10]}" for n in range(100))
    labels = random.random((_COVERS, 100)) < 0.06
    labels[np.arange(_COVERS), np.arange(_COVERS) % 100] = True
    candidate, pushed = (
        dataclasses.replace(
            make_outputs(),
            labels=labels.astype(np.float32),
            probabilities=(0.6 * random.random(labels.shape) + skill * labels).astype(np.float32),
        )
        for skill in (0.25, 0.3)
    )
    description = ModelDescription(genres, (0.5,) * 100, 64, "a recipe", {})
    write_model_description(directory / "model", description)
    images = [_detailed_cover(draw_cover, seed) for seed in range(_COVERS)]
    _write_examples(directory, candidate, images)
    write_evaluation(directory / "evaluation", _evaluation(genres, candidate, pushed))
    (directory / "quarantine").mkdir()
    by_split = {split: dict.fromkeys(genres, 30) for split in ("train", "eval", "test")}
    counts = {"train": 1400, "eval": 200, "test": _COVERS}
    summary = IngestSummary("labels.csv", 1800, 1800, 0, {}, 1800, counts, 3, 7, by_split)
    write_summary(directory / "quarantine", summary)
    write_quarantine(directory / "quarantine", [])
    complete = dataclasses.replace(
        sources,
        quarantine=directory / "quarantine",
        examples=directory / "examples",
        model=directory / "model",
        predictions=directory / "predictions",
        evaluation=directory / "evaluation",
    )
    facts = RunFacts(
        pipeline="covers",
        outcome="not_blessed",
        data="labels.csv",
        config={"name": "covers", "genres": list(genres)},
        baseline_version="1795500100",
    )
    return WrittenReport(write_report(directory / "report", complete, facts), candidate, pushed)


def _evaluation(genres: tuple[str, ...], candidate: Any, pushed: Any) -> Evaluation:
    """Evaluates two models, and slices by a column."""
    bound = Threshold(at_least=0.9, tolerance=0.01)
    gate = GateConfig(
        min_support=15, overall={"macro_roc_auc": bound}, per_genre={"roc_auc": bound}
    )
    decades = 1960 + np.arange(_COVERS) % 7 * 10

    def metrics(chosen: Any) -> list[tuple[dict[str, float], dict[str, dict[str, float]]]]:
        tables = {
            name: Table.of(
                model.labels[chosen], model.probabilities[chosen], model.decisions[chosen]
            )
            for name, model in (("candidate", candidate), ("baseline", pushed))
        }
        weights, intervals = np.ones(int(np.sum(chosen))), Intervals(resamples=20)
        return [
            (
                {name: float(v) for name, v in each.overall.items()}
                | {"example_count": float(np.sum(chosen))},
                {
                    genre: {name: float(v[i]) for name, v in each.per_genre.items()}
                    for i, genre in enumerate(genres)
                },
            )
            for each in estimate(tables, weights, intervals, "baseline").values()
        ]

    of_all = metrics(np.ones(_COVERS, bool))
    slices: list[dict[str, Any]] = [{"genres": {}, "slice/year": {}} for _ in of_all]
    for decade in np.unique(decades):
        for mine, (overall, _) in zip(slices, metrics(decades == decade), strict=True):
            mine["slice/year"][f"{decade} to {decade + 9}"] = overall
    for i, genre in enumerate(genres):
        for mine, (overall, _) in zip(slices, metrics(candidate.labels[:, i] > 0), strict=True):
            mine["genres"][genre] = overall
    model, baseline = (
        ModelMetrics(overall, per_genre, mine)
        for (overall, per_genre), mine in zip(of_all, slices, strict=True)
    )
    decided = candidate.labels.T @ candidate.decisions
    return Evaluation(
        overall=model.overall,
        per_genre=model.per_genre,
        slices=model.slices,
        genres=genres,
        confidence=0.95,
        blessed=False,
        checks=_checks(gate, genres, model, baseline),
        confusion=tuple(tuple(row) for row in decided.astype(int).tolist()),
        baseline=baseline,
    )


def _write_examples(directory: Path, outputs: Any, images: Sequence[bytes]) -> None:
    """Writes the test split, with images, and the predictions for it."""
    import tensorflow as tf

    def texts(*values: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def numbers(values: Any) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    for name in ("examples", "predictions"):
        split_folder(directory / name, TEST_SPLIT).mkdir(parents=True)
        path = str(split_folder(directory / name, TEST_SPLIT) / "covers.gz")
        with tf.io.TFRecordWriter(path, options="GZIP") as out:
            for row, image in enumerate(images):
                features = {
                    IMAGE_ID: texts(str(row).encode()),
                    IMAGE_PATH: texts(f"a folder/{row}.jpg".encode()),
                    LABEL: numbers(outputs.labels[row]),
                    IMAGE_ENCODED: texts(image),
                    output_feature(CANDIDATE, PROBABILITIES): numbers(outputs.probabilities[row]),
                    output_feature(CANDIDATE, DECISIONS): numbers(outputs.decisions[row]),
                    output_feature(CANDIDATE, EMBEDDINGS): numbers(outputs.probabilities[row]),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                out.write(example.SerializeToString())


def _detailed_cover(draw_cover: Callable[..., Image.Image], seed: int) -> bytes:
    """Draws a cover with the noise of a photograph, whose thumbnail is as large as a real one's."""
    noise = Image.effect_noise((300, 300), 40).convert("RGB")
    buffer = io.BytesIO()
    Image.blend(draw_cover(seed, 300), noise, 0.4).save(buffer, "JPEG")
    return buffer.getvalue()


_KINDS = (
    "acoustic",
    "alternative",
    "contemporary",
    "electronic",
    "experimental",
    "modern",
    "progressive",
    "traditional",
    "東京",
    "underground",
)
_STYLES = (
    "blues",
    "country",
    "dance",
    "folk",
    "hip-hop",
    "jazz",
    "pop",
    "rock",
    "singer-songwriter",
    "soul",
)


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory, sources: Sources) -> WrittenReport:
    """The report of a run whose data were stopped at the gate."""
    before_training = dataclasses.replace(sources, model_run=None)
    facts = RunFacts(
        pipeline="covers",
        outcome="data_stopped",
        data="labels.csv",
        decision=STOPPED,
        stages={"DataGate": "failed", "Trainer": "not run"},
        run_id="20261124-120000-000000",
    )
    return WrittenReport(write_report(tmp_path_factory.mktemp("stopped"), before_training, facts))
