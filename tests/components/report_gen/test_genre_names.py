"""Genre names that hold separators, quotes or other scripts, or are words of the report itself."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

from components.contracts.evaluation_record import read_evaluation
from components.contracts.quarantine import IngestSummary, write_summary
from components.evaluator.config import EvaluationConfig, GateConfig, Intervals, Threshold
from components.evaluator.results import decide
from components.report_gen.build import write_report
from components.report_gen.sources import RunFacts, Sources
from pipeline.commands.reports import compare_reports
from tests.components.report_gen.conftest import WrittenReport

NAMES = (
    "Folk, World, & Country",
    "R&B/Soul",
    "Drum & Bass",
    "électro",
    "東京",
    "हिन्दी",
    "ไทย",
    "!!!",
    "overall",
    "macro",
    "micro",
    "genres",
    "roc_auc",
    "items",
    "1990",
    "a.b[0]",
    '"it\'s" back\\slash',
    "[red]{x}%s <b>",
)
_COVERS = 120


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory,
    sources: Sources,
    evaluate_into: Callable[..., Path],
    make_outputs: Callable[..., Any],
    draw_cover: Callable[..., Image.Image],
) -> WrittenReport:
    """The report of a model of these genres that some thresholds refuse."""
    directory = tmp_path_factory.mktemp("names")
    random = np.random.default_rng(0)
    labels = random.random((_COVERS, len(NAMES))) < 0.2
    labels[np.arange(_COVERS), np.arange(_COVERS) % len(NAMES)] = True
    drawn = random.random(labels.shape) * 0.7 + labels * 0.3
    outputs = dataclasses.replace(
        make_outputs(),
        labels=labels.astype(np.float32),
        probabilities=np.round(drawn, 2).astype(np.float32),
    )
    buffer = io.BytesIO()
    draw_cover(1).save(buffer, "JPEG")
    bound = Threshold(at_least=0.99)
    config = EvaluationConfig(
        gate=GateConfig(min_support=2, overall={}, per_genre={"roc_auc": bound}),
        intervals=Intervals(resamples=0),
    )
    evaluation = evaluate_into(
        directory, config, outputs, None, NAMES, [buffer.getvalue()] * _COVERS, ["a.jpg"] * _COVERS
    )
    counts = {split: dict.fromkeys(NAMES, 30) for split in ("train", "eval", "test")}
    (directory / "quarantine").mkdir()
    (directory / "quarantine" / "quarantine.jsonl").write_text("")
    sizes = {"train": 140, "eval": 60, "test": _COVERS}
    summary = IngestSummary("labels.csv", 320, 320, 0, {}, 320, sizes, 0, 0, counts)
    write_summary(directory / "quarantine", summary)
    complete = dataclasses.replace(
        sources,
        quarantine=directory / "quarantine",
        examples=directory / "examples",
        model=directory / "candidate" / "Format-Serving",
        predictions=directory / "predictions",
        evaluation=evaluation,
    )
    facts = RunFacts(pipeline="covers", outcome="not_blessed", data="labels.csv")
    return WrittenReport(write_report(directory / "report", complete, facts), outputs)


def test_every_name_is_evaluated_sliced_and_judged_by_itself(written: WrittenReport) -> None:
    evaluation = read_evaluation(written.page.parent.parent / "evaluation")
    covers = written.outputs.labels.sum(axis=0).astype(int).tolist()
    assert evaluation.genres == NAMES
    assert list(evaluation.per_genre) == list(NAMES)
    sliced = {
        name: metrics["example_count"] for name, metrics in evaluation.slices["genres"].items()
    }
    assert sliced == dict(zip(NAMES, covers, strict=True))
    assert [check.genre for check in evaluation.failures] == list(NAMES)
    refused = [refusal.where for refusal in decide(evaluation).refusals]
    assert refused == [f"{name}: roc_auc" for name in NAMES]


def test_the_report_says_them_all(written: WrittenReport) -> None:
    report = written.content
    assert list(report["genres"]) == list(NAMES)
    assert report["model_card"]["model_parameters"]["genres"] == list(NAMES)
    metrics = report["model_card"]["quantitative_analysis"]["performance_metrics"]
    assert {metric["slice"] for metric in metrics if "slice" in metric} == set(NAMES)
    lines = list(compare_reports((written.page, written.page)))
    assert all(any(line.startswith(f"{name}: f1") for line in lines) for name in NAMES)


def test_the_page_shows_them_all(written: WrittenReport, browser: webdriver.Chrome) -> None:
    browser.get_log("browser")  # forget what other pages said
    browser.get(written.page.as_uri())

    def texts(selector: str) -> list[str]:
        found = browser.find_elements(By.CSS_SELECTOR, selector)
        return [str(element.get_attribute("textContent")).strip() for element in found]

    assert texts("[role=tab]") == list(NAMES)
    rows = texts("#genres th[scope=row]")
    assert rows[: len(NAMES)] == list(NAMES)
    drawn = texts("svg text")
    beginnings = tuple(text.rstrip("…") for text in drawn if text.endswith("…"))
    for name in NAMES:
        assert name in drawn or name.startswith(beginnings)
    for number in range(len(NAMES)):
        tab = browser.find_element(By.ID, f"tab-{number}")
        browser.execute_script("arguments[0].click()", tab)
        panel = browser.find_element(By.ID, f"panel-{number}")
        assert panel.is_displayed()
        assert len(panel.find_elements(By.CSS_SELECTOR, "svg")) == 3
    assert browser.get_log("browser") == []
