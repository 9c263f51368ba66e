"""What is in a report, for machines and without a browser."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from components.contracts.decisions import Decision, Refusal, write_decision
from components.contracts.serving_check import (
    Measurements,
    ServingCheck,
    ServingTest,
    State,
    write_serving_check,
)
from components.report_gen import build
from components.report_gen.curves import describe_genre
from components.report_gen.page import render_page
from components.report_gen.sources import RunFacts, Sources
from components.report_gen.verdict import describe_verdict
from components.report_gen.views import SHOWN_LABEL_ERRORS
from tests.components.report_gen.conftest import HARM


def test_every_metric_equals_scikit_learn(refused: Any) -> None:
    evaluation = refused.content["evaluation"]
    for outputs, metrics in (
        (refused.outputs, evaluation),
        (refused.baseline, evaluation["baseline"]),
    ):
        y, p, d = outputs.labels, outputs.probabilities, outputs.decisions
        overall = {
            "macro_roc_auc": sk.roc_auc_score(y, p),
            "macro_average_precision": sk.average_precision_score(y, p),
            "macro_f1": sk.f1_score(y, d, average="macro"),
            "micro_f1": sk.f1_score(y, d, average="micro"),
            "hamming_loss": sk.hamming_loss(y, d),
            "jaccard": sk.jaccard_score(y, d, average="samples", zero_division=0),
            "exact_match_ratio": sk.accuracy_score(y, d),
        }
        for name, expected in overall.items():
            assert metrics["overall"][name] == pytest.approx(expected, abs=1e-6)
        for i, values in enumerate(metrics["per_genre"].values()):
            per_genre = {
                "roc_auc": sk.roc_auc_score(y[:, i], p[:, i]),
                "average_precision": sk.average_precision_score(y[:, i], p[:, i]),
                "precision": sk.precision_score(y[:, i], d[:, i]),
                "recall": sk.recall_score(y[:, i], d[:, i]),
                "f1": sk.f1_score(y[:, i], d[:, i]),
                "brier_score": sk.brier_score_loss(y[:, i], p[:, i]),
            }
            for name, expected in per_genre.items():
                assert values[name] == pytest.approx(expected, abs=1e-6)


def test_curves_thresholds_and_matrices_equal_scikit_learn(refused: Any) -> None:
    report, outputs = refused.content, refused.outputs
    y, d = outputs.labels.astype(int), outputs.decisions.astype(int)
    assert report["co_occurrence"] == (y.T @ y).tolist()
    assert report["evaluation"]["confusion"] == (y.T @ d).tolist()
    for i, genre in enumerate(report["evaluation"]["genres"]):
        described = report["genres"][genre]
        scores = outputs.probabilities[:, i].astype(np.float64)
        for row in described["thresholds"]:
            decided = scores >= row["threshold"]
            counts = [row[f"{name}_{kind}"] for name, kind in CELLS]
            assert counts == sk.confusion_matrix(y[:, i], decided, labels=[0, 1]).ravel().tolist()
        x, height = np.transpose(described["roc"])
        assert sk.auc(x, height) == pytest.approx(sk.roc_auc_score(y[:, i], scores), abs=2e-3)
        covers = sum(point["covers"] for point in described["calibration"])
        assert covers == len(y)


def test_a_report_of_a_hundred_genres_stays_small(hundred: Any) -> None:
    size = hundred.page.stat().st_size
    assert 1e6 < size < 4e6, "of the 5 MB, a fifth is for covers with more detail"
    report, text = hundred.content, hundred.page.read_text()
    assert len(report["genres"]) == len(report["evaluation"]["confusion"]) == 100
    assert text.count("data:image/jpeg") <= 300 + SHOWN_LABEL_ERRORS
    assert set(report["covers"]) == set(report["evaluation"]["genres"])
    for kinds in report["covers"].values():
        for covers in kinds.values():
            assert len(covers) <= 1


def test_slices_by_columns_are_in_both_twins(refused: Any) -> None:
    slices, outputs = refused.content["evaluation"]["slices"], refused.outputs
    years = slices["slice/year"]
    assert list(years)[:2] == ["1950 to 1959", "1960 to 1969"]
    assert list(years)[-1] == "(no value)"
    rows = [row for row in range(200) if row % 5 and row % 60 < 10]
    values = years["1950 to 1959"]
    y, p = outputs.labels[rows], outputs.probabilities[rows]
    assert values["example_count"] == len(rows)
    assert values["macro_roc_auc"] == pytest.approx(sk.roc_auc_score(y, p), abs=1e-6)
    assert slices["slice/rare"].keys() == {"(1 other value)", "(no value)"}
    alone = slices["slice/rare"]["(1 other value)"]
    assert (alone["example_count"], alone["macro_roc_auc"]) == (1, None)


CELLS = (
    ("true", "negatives"),
    ("false", "positives"),
    ("false", "negatives"),
    ("true", "positives"),
)


def test_the_covers_shown_are_the_worst_and_the_best(refused: Any) -> None:
    report, outputs = refused.content, refused.outputs
    for i, (genre, kinds) in enumerate(report["covers"].items()):
        y, p, d = outputs.labels[:, i] > 0, outputs.probabilities[:, i], outputs.decisions[:, i] > 0
        groups = {
            "false_positives": (~y & d, max),
            "false_negatives": (y & ~d, min),
            "true_positives": (y & d, max),
        }
        for kind, (rows, extreme) in groups.items():
            covers = kinds[kind]
            assert len(covers) == min(4, rows.sum())
            assert covers[0]["probability"] == pytest.approx(extreme(p[rows]), abs=1e-6)
            assert all(
                (genre in cover["genres"]) == (kind != "false_positives") for cover in covers
            )
            assert all(
                (genre in cover["decided"]) == (kind != "false_negatives") for cover in covers
            )


def test_a_refusal_says_what_was_got_and_needed(refused: Any) -> None:
    verdict = refused.content["verdict"]
    assert verdict["headline"] == "Not pushed"
    kinds = {failure["kind"] for failure in verdict["failures"]}
    assert kinds == {"at least", "change"}
    for failure in verdict["failures"]:
        if failure["kind"] == "at least":
            assert failure["value"] < failure["bound"] == 0.85
        else:
            assert failure["change"] < -failure["allowed"]
        if failure["genre"]:
            assert failure["positives"] >= failure["min_support"] == 60
    assert verdict["warnings"], "the first genre has fewer than 60 covers"
    assert "is not decisive" in verdict["warnings"][0]["sentence"]


def test_stopped_data_have_their_problems_and_rows(stopped: Any) -> None:
    report = stopped.content
    first, second = report["verdict"]["problems"]
    assert first["what"].startswith("rows of labels.csv: expected at most 2.0%")
    assert first["remedy"].startswith("Fix or remove the rows")
    assert (first["value"], first["bound"], first["support"]) == (0.1, 0.02, 200)
    assert second["what"].startswith("feature 'genres'")
    quarantine = report["data"]["quarantine"]["unknown_genre"]
    assert quarantine["rows"] == 30
    assert len(quarantine["first"]) == 20
    [anomaly] = report["data"]["anomalies"]
    assert anomaly["title"] == "Unexpected string values"
    [drift] = report["data"]["drift"]
    assert (drift["feature"], drift["distance"], drift["threshold"]) == ("image/width", 0.5, 0.1)
    assert report["evaluation"] is report["training"] is report["model_card"] is None


def test_the_model_card_has_the_numbers_and_the_limits(refused: Any) -> None:
    report = refused.content
    card = report["model_card"]
    metrics = {
        (each["type"], each.get("slice")): each
        for each in card["quantitative_analysis"]["performance_metrics"]
    }
    genre = report["evaluation"]["genres"][0]
    values = report["evaluation"]["per_genre"][genre]
    entry = metrics["roc_auc", genre]
    assert entry["value"] == values["roc_auc"]
    assert entry["confidence_interval"]["lower_bound"] == values["roc_auc_ci_low"]
    assert card["model_parameters"]["data"][0]["examples_by_split"]["train"] == 140
    limits = " ".join(each["description"] for each in card["considerations"]["limitations"])
    assert "weakest at" in limits


@pytest.mark.parametrize("outcome", ["failed", "misconfigured", "interrupted", "data_stopped"])
def test_a_run_without_any_artifact_still_has_a_report(tmp_path: Path, outcome: str) -> None:
    facts = RunFacts(pipeline="covers", outcome=outcome, error="It went wrong.")
    page = build.write_report(tmp_path / "report", Sources(), facts)
    report = json.loads(page.with_suffix(".json").read_text())
    [problem] = report["verdict"]["problems"]
    assert problem["what"] == "It went wrong."
    assert problem["remedy"] == ""
    assert report["verdict"]["headline"] in page.read_text()
    assert report["verdict"]["next_steps"]


def test_a_model_that_is_refused_at_the_push_has_its_reason_in_the_verdict(
    sources: Sources,
) -> None:
    facts = RunFacts(pipeline="covers", outcome="not_blessed", error="Version 7 was withdrawn.")
    report, _ = build.build_report(sources, facts)
    verdict = report["verdict"]
    assert [problem["what"] for problem in verdict["problems"]] == ["Version 7 was withdrawn."]
    assert "threshold" not in verdict["summary"] + " ".join(verdict["next_steps"])


def test_a_failed_trainer_leaves_the_data_and_the_history(tmp_path: Path, sources: Sources) -> None:
    facts = RunFacts(pipeline="covers", outcome="failed", error="Unexpected error.")
    report, _ = build.build_report(sources, facts)
    assert report["training"]["history"]["exported_epoch"] == 2
    assert report["training"]["findings"][0]["code"] == "all_zero_predictions"
    assert report["data"]["summary"]["rows_given"] == 432
    assert report["evaluation"] is None


def test_the_report_tells_what_calibration_brought(tmp_path: Path, sources: Sources) -> None:
    model_run = shutil.copytree(sources.model_run, tmp_path / "model_run")
    sources = dataclasses.replace(sources, model_run=model_run)
    facts = RunFacts(pipeline="covers", outcome="not_blessed")
    path = model_run / "history.json"
    uncalibrated = render_page(*build.build_report(sources, facts))
    assert "Calibrated on the eval split" not in uncalibrated
    history = json.loads(path.read_text())
    errors = {"error_before": {"rock": 0.25, "<b>": 0.5}, "error_after": {"rock": 0.02, "<b>": 0.1}}
    path.write_text(json.dumps({**history, "calibration": {"method": "platt", **errors}}))
    report, pictures = build.build_report(sources, facts)
    assert report["training"]["history"]["calibration"]["error_after"]["rock"] == 0.02
    page = render_page(report, pictures)
    assert "Calibrated on the eval split (platt)" in page
    assert "rock 0.250 and 0.020; &lt;b&gt; 0.500 and 0.100." in page


def test_a_model_without_numbers_has_a_report(
    tmp_path: Path, sources: Sources, evaluate_into: Any, make_outputs: Any, write_cover: Any
) -> None:
    from components.evaluator.config import EvaluationConfig

    outputs = make_outputs(examples=20)
    outputs.probabilities[3, 1] = np.nan
    outputs.labels[:, 2] = 0.0
    images = [write_cover(tmp_path / "cover.jpg", 1).read_bytes()] * 20
    evaluation = evaluate_into(
        tmp_path, EvaluationConfig(), outputs, images=images, paths=["cover.jpg"] * 20
    )
    complete = dataclasses.replace(
        sources,
        examples=tmp_path / "examples",
        model=tmp_path / "candidate" / "Format-Serving",
        predictions=tmp_path / "predictions",
        evaluation=evaluation,
    )
    facts = RunFacts(pipeline="covers", outcome="not_blessed")
    page = build.write_report(tmp_path / "report", complete, facts)
    text = page.read_text()
    assert "not all probabilities of the model are numbers" in text
    assert "No curves" in text
    assert json.loads(page.with_suffix(".json").read_text())["genres"]["jazz"].keys() == {
        "model_threshold",
        "thresholds",
    }


def test_the_models_own_threshold_is_among_those_to_explore() -> None:
    labels, scores = np.array([True, False, True]), np.array([0.2, 0.3, 0.9])
    described = describe_genre(labels, scores, scores >= 0.3, 0.3)
    own = [row for row in described["thresholds"] if row["threshold"] == 0.3]
    assert len(described["thresholds"]) == 101
    assert own[0]["true_positives"] == own[0]["false_positives"] == 1
    described = describe_genre(labels, scores, scores >= 0.255, 0.255)
    assert len(described["thresholds"]) == 102


def test_without_a_pushed_model_the_verdict_says_so() -> None:
    facts = RunFacts(pipeline="covers", outcome="pushed", pushed_to="serving/1")
    verdict = describe_verdict(facts, None)
    assert "was pushed to serving/1" in verdict["summary"]
    assert "no pushed model to compare with" in verdict["summary"]


@pytest.mark.parametrize("state", State)
def test_the_serving_check_is_shown_however_it_ended(tmp_path: Path, state: State) -> None:
    """Its texts come from the model's own errors, and stay texts."""
    took = Measurements(0.25, 0.125, 12.34, 56.78, 300.0, 310.0)
    slow = ServingTest("latency", "session", "at most 1 ms", HARM, False, 56.78, 1.0, "Wait.")
    fine = ServingTest("genres", "session", HARM, HARM, True)
    tests = {State.PASSED: (fine,), State.REFUSED: (fine, slow), State.NOT_CHECKED: ()}[state]
    loaders = {"session": took} if tests else {}
    write_serving_check(tmp_path, ServingCheck(state, 19, 32, tests, loaders))
    reasons = tuple(
        Refusal(test.where, test.sentence(), remedy=test.remedy)
        for test in tests
        if not test.passed
    )
    write_decision(tmp_path, Decision("InfraValidator", "It cannot be served", reasons))
    outcome = "pushed" if state is State.PASSED else "not_blessed"
    facts = RunFacts("covers", outcome, pushed_to="serving/1")
    page = build.write_report(tmp_path / "report", Sources(infra_blessing=tmp_path), facts)
    text, report = page.read_text(), json.loads(page.with_suffix(".json").read_text())
    assert HARM not in text
    assert report["serving_check"]["state"] == state.value
    assert len(report["serving_check"]["tests"]) == len(tests)
    problems = [problem["what"] for problem in report["verdict"]["problems"]]
    assert problems == [reason.what for reason in reasons]
    assert ("56.8" if tests else "was not loaded, as the evaluation had refused it") in text
    assert ("InfraValidator" in report["verdict"]["summary"]) == (state is State.REFUSED)
