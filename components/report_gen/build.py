"""Builds a report from whatever a run has produced, and writes it."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from components.contracts.decisions import read_decision
from components.contracts.evaluation_record import read_evaluation
from components.contracts.files import REPORT_DATA, REPORT_PAGE
from components.contracts.label_schema import SPLITS
from components.contracts.model_card import make_model_card
from components.contracts.predictions import read_embeddings, read_predictions
from components.contracts.quarantine import read_summary
from components.contracts.serving_check import read_serving_check
from components.contracts.signatures import read_model_description
from components.report_gen.cover_map import describe_map
from components.report_gen.curves import describe_genres
from components.report_gen.data import describe_data
from components.report_gen.gallery import choose_covers
from components.report_gen.label_errors import LABEL_ERRORS_FILE, suspected_labels, to_csv
from components.report_gen.leakage import check_leakage
from components.report_gen.pictures import thumbnails
from components.report_gen.provenance import describe_provenance
from components.report_gen.sources import RunFacts, Sources
from components.report_gen.training import describe_training
from components.report_gen.transfer import check_predictions_on_test
from components.report_gen.tuning import describe_tuning
from components.report_gen.verdict import describe_verdict
from components.report_gen.views import SHOWN_LABEL_ERRORS

FORMAT_VERSION = 1

Report = dict[str, Any]


def write_report(folder: Path, sources: Sources, facts: RunFacts) -> Path:
    """Writes `report.html` and `report.json`.

    Args:
        folder: where to write; made if needed.
        sources: the run's artifacts, as far as it got.
        facts: what else is known about the run.

    Returns:
        The HTML file.
    """
    from components.report_gen.page import render_page

    report, pictures = build_report(sources, facts)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False)
    (folder / REPORT_DATA).write_text(text + "\n", encoding="utf-8")
    if report["label_errors"]:
        table = to_csv(report["label_errors"])
        (folder / LABEL_ERRORS_FILE).write_text(table, encoding="utf-8")
    page = folder / REPORT_PAGE
    page.write_text(render_page(report, pictures), encoding="utf-8")
    return page


def build_report(sources: Sources, facts: RunFacts) -> tuple[Report, dict[str, str]]:
    """Returns the content of `report.json`, and thumbnails by the cover's identity."""
    evaluation = read_evaluation(sources.evaluation) if sources.evaluation else None
    checked = sources.infra_blessing
    report: Report = {
        "format_version": FORMAT_VERSION,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "verdict": describe_verdict(facts, evaluation, read_decision(checked) if checked else None),
        "evaluation": evaluation.to_dict() if evaluation else None,
        "serving_check": read_serving_check(checked).to_dict() if checked else None,
        "genres": None,
        "co_occurrence": None,
        "covers": None,
        "map": None,
        "label_errors": None,
        "data": describe_data(sources),
        "tuning": describe_tuning(sources.tuner_results, facts.config.get("tuner")),
        "training": describe_training(sources.model_run),
        "model_card": None,
        "provenance": describe_provenance(facts, sources),
    }
    description = read_model_description(sources.model) if sources.model else None
    if evaluation and description:
        summary = read_summary(sources.quarantine) if sources.quarantine else None
        report["model_card"] = make_model_card(description, evaluation, summary)
    pictures: dict[str, str] = {}
    elsewhere: set[str] = set()  # covers to show that may be in any split
    if evaluation and description and sources.examples and sources.predictions:
        predictions = read_predictions(sources.predictions, description)
        labels = predictions.labels.astype(np.int64)
        covers = choose_covers(predictions)
        report["genres"] = describe_genres(predictions)
        report["co_occurrence"] = (labels.T @ labels).tolist()
        report["covers"] = covers
        report["map"] = describe_map(predictions, *read_embeddings(sources.predictions))
        shown = {c["id"] for kinds in covers.values() for kind in kinds.values() for c in kind}
        pictures = thumbnails(sources.examples, shown)
        if sources.model_run:
            findings = check_predictions_on_test(sources.model_run, predictions)
            findings += check_leakage(predictions.genres, sources.examples, sources.quarantine)
            report["training"]["findings"] += [finding.to_dict() for finding in findings]
        report["label_errors"] = suspected_labels(sources, predictions)
        elsewhere = {error["id"] for error in report["label_errors"][:SHOWN_LABEL_ERRORS]}
    contradictions = report["data"]["contradictions"]
    if contradictions:
        elsewhere |= {identity for pair in contradictions["first"] for identity in pair["ids"]}
    if sources.examples and elsewhere - pictures.keys():
        pictures |= thumbnails(sources.examples, elsewhere - pictures.keys(), SPLITS)
    return _without_nan(report), pictures


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
