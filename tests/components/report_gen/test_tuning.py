from __future__ import annotations

import dataclasses
import json

import pytest

from components.contracts.files import TUNER_RESULTS_FILE
from components.report_gen import build
from components.report_gen.page import render_page
from components.report_gen.sources import RunFacts
from components.report_gen.tuning import describe_tuning
from components.support.errors import DeploymentError

RATE = "optimizer.AdamW.learning_rate"
ROWS = [
    {"trial_id": "1", "score": 0.71, RATE: 0.000123456, "layers.1.Dropout.rate": 0.5},
    {"trial_id": "0", "score": float("nan"), RATE: 0.1, "class_weights": "<b>none</b>"},
]


@pytest.fixture
def tuner_results(tmp_path):
    (tmp_path / TUNER_RESULTS_FILE).write_text(json.dumps(ROWS))
    return tmp_path


def test_trials_are_ranked_as_the_tuner_ranked_them(tuner_results):
    options = {"objective": "val_macro_roc_auc", "algorithm": "bayesian", "epochs": 4, "trials": 2}
    tuning = describe_tuning(tuner_results, options)
    assert tuning["objective"] == "val_macro_roc_auc"
    assert tuning["options"] == [RATE, "layers.1.Dropout.rate", "class_weights"]
    assert [trial["rank"] for trial in tuning["trials"]] == [1, 2]
    assert tuning["trials"][0] == {
        "rank": 1,
        "objective": 0.71,
        "options": {RATE: 0.000123456, "layers.1.Dropout.rate": 0.5},
    }


def test_without_a_search_there_are_no_trials(sources):
    assert describe_tuning(None, None) is None
    report, _ = build.build_report(sources, RunFacts(pipeline="covers", outcome="failed"))
    assert report["tuning"] is None
    assert 'id="tuning"' not in render_page(report, {})


@pytest.mark.parametrize("content", ["", "{}{", '[{"trial_id": "0"}]', "[[1]]"])
def test_a_damaged_record_is_named(tuner_results, content):
    (tuner_results / TUNER_RESULTS_FILE).write_text(content)
    with pytest.raises(DeploymentError, match="Expected the trials of a search for options at"):
        describe_tuning(tuner_results, None)


def test_the_report_shows_every_trial(tuner_results, sources):
    """Also after a training that failed, and with names that try to do harm."""
    searched = dataclasses.replace(sources, tuner_results=tuner_results, model_run=None)
    config = {"tuner": {"objective": "val_loss", "algorithm": "random", "epochs": 1}}
    facts = RunFacts(pipeline="covers", outcome="failed", config=config)
    report, pictures = build.build_report(searched, facts)
    page = render_page(report, pictures)
    assert "2 trials of 1 epoch (random search), ranked by val_loss" in page
    assert "0.0001235" in page
    assert "&lt;b&gt;none" in page and "<b>none" not in page
    assert report["tuning"]["trials"][1]["objective"] is None
