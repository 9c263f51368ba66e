"""What the user interface compares runs by, against the report and kfp's own artifacts."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from components.contracts.artifacts import Report
from components.contracts.evaluation_record import Evaluation
from components.report_gen.curves import describe_genre
from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.container.compare_view import compare_view, describe_report, genre_outputs

GENRES = ("pop", "Hip-Hop", "rock")
THRESHOLD = 0.375
_RANDOM = np.random.default_rng(0)
LABELS = _RANDOM.random(200) < 0.3
PROBABILITIES = np.round(np.clip(0.3 * LABELS + 0.7 * _RANDOM.random(200), 0, 1), 2)
DECISIONS = PROBABILITIES >= THRESHOLD


@pytest.fixture
def report() -> dict[str, Any]:
    """The parts of a report that are shown; no cover is rock."""
    defined = {"roc_auc": 0.8, "f1": 0.5}
    undefined = {"roc_auc": math.nan, "f1": 0.5, "roc_auc_ci_low": math.nan}
    evaluation = Evaluation(
        overall={"macro_roc_auc": 0.75, "hamming_loss": 0.2, "macro_f1": math.nan, "recall": 0.1},
        per_genre={"pop": defined, "Hip-Hop": defined, "rock": undefined},
        slices={},
        genres=GENRES,
        confidence=0.95,
        blessed=True,
        checks=(),
        confusion=((5, 1, 0), (2, 7, 0), (0, 0, 0)),
        baseline=None,
    )
    shown = describe_genre(LABELS, PROBABILITIES, DECISIONS, THRESHOLD)
    nobody = describe_genre(np.zeros(200, bool), PROBABILITIES, DECISIONS, THRESHOLD)
    genres = {"pop": shown, "Hip-Hop": shown, "rock": nobody}
    return {"evaluation": evaluation.to_dict(), "genres": genres}


def test_metrics_are_those_of_the_report(report: dict[str, Any]) -> None:
    assert describe_report(report)["metrics"] == {
        "macro_roc_auc": 0.75,
        "hamming_loss": 0.2,
        "roc_auc of pop": 0.8,
        "roc_auc of Hip-Hop": 0.8,
        "f1 of pop": 0.5,
        "f1 of Hip-Hop": 0.5,
        "f1 of rock": 0.5,
    }


def test_curves_and_counts_are_those_of_scikit_learn(report: dict[str, Any]) -> None:
    shown = describe_report(report)["genre_pop"]
    points = shown["confidenceMetrics"]
    rates = [(point["falsePositiveRate"], point["recall"]) for point in points]
    assert rates == sorted(rates), "from the lower left to the upper right"
    false, true, _ = roc_curve(LABELS, PROBABILITIES, drop_intermediate=False)
    exact = {(round(x, 9), round(y, 9)) for x, y in zip(false, true, strict=True)}
    drawn = {(round(x, 9), round(y, 9)) for x, y in rates}
    assert drawn <= exact
    area = np.trapezoid if hasattr(np, "trapezoid") else np.trapz
    assert area(*np.array(rates).T[::-1]) == pytest.approx(
        roc_auc_score(LABELS, PROBABILITIES), abs=0.01
    )
    rows = [row["row"] for row in shown["confusionMatrix"]["rows"]]
    assert rows == confusion_matrix(~LABELS, ~DECISIONS).tolist()


def test_a_genre_without_covers_has_no_curve(report: dict[str, Any]) -> None:
    assert set(describe_report(report)["genre_rock"]) == {"confusionMatrix"}


def test_the_shape_is_that_of_kfps_own_artifacts(report: dict[str, Any]) -> None:
    dsl = pytest.importorskip("kfp.dsl")
    shown = describe_report(report)
    metrics = dsl.Metrics()
    for name, value in shown["metrics"].items():
        metrics.log_metric(name, value)
    assert metrics.metadata == shown["metrics"]
    for key, matrix, categories in (
        ("all_genres", [[5, 1, 0], [2, 7, 0], [0, 0, 0]], list(GENRES)),
        ("genre_pop", confusion_matrix(~LABELS, ~DECISIONS).tolist(), ["pop", "not pop"]),
    ):
        expected = dsl.ClassificationMetrics()
        expected.log_confusion_matrix(categories, matrix)
        if key != "all_genres":
            points = shown[key]["confidenceMetrics"]
            columns = ("falsePositiveRate", "recall", "confidenceThreshold")
            expected.log_roc_curve(*([point[name] for point in points] for name in columns))
        assert shown[key] == expected.metadata
    json.dumps(shown, allow_nan=False)


@pytest.mark.parametrize(
    ("genres", "keys"),
    [
        (("pop", "Hip-Hop"), ["genre_pop", "genre_hip_hop"]),
        (("hip hop", "hip-hop", "R&B"), ["genre_hip_hop", "genre_hip_hop_2", "genre_r_b"]),
        (("ジャズ", "2", "metal & more!"), ["genre_1", "genre_2", "genre_metal_more"]),
        (("a 2", "a", "A"), ["genre_a_2", "genre_a", "genre_a_3"]),
        (("b", "a-3", "a", "A"), ["genre_b", "genre_a_3", "genre_a", "genre_a_4"]),
        (("a 3", "a", "A"), ["genre_a_3", "genre_a", "genre_a_3_3"]),
        (tuple(map(str, range(51))), []),
    ],
)
def test_every_genre_has_a_key_of_its_own(genres: tuple[str, ...], keys: list[str]) -> None:
    found = genre_outputs(genres)
    assert len(set(found.values())) == len(found)
    assert all(re.fullmatch(r"[a-z0-9_]+", key) for key in found.values())
    assert list(found.values()) == keys


def test_the_report_in_the_artifact_is_read(report: dict[str, Any], tmp_path: Path) -> None:
    artifact = Report()
    artifact.uri = str(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert compare_view({"report": [artifact]}) == describe_report(report)
    assert compare_view({"model": [artifact]}) == compare_view({"report": []}) == {}
    assert describe_report({"evaluation": None, "genres": None}) == {}


def test_the_outputs_follow_from_the_schema(tiny_config: Path) -> None:
    config = load_config(tiny_config, ["genres=[pop, Hip-Hop]"])
    spec = compile_pipeline(config).documents[0]
    outputs = spec["components"]["comp-ReportGen"]["outputDefinitions"]["artifacts"]
    assert {
        key: one["artifactType"]["schemaTitle"] for key, one in outputs.items() if key != "report"
    } == {
        "report_page": "system.HTML",
        "metrics": "system.Metrics",
        "all_genres": "system.ClassificationMetrics",
        "genre_pop": "system.ClassificationMetrics",
        "genre_hip_hop": "system.ClassificationMetrics",
    }
