"""Changes against the first run, with known predictions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.commands.compare.changes import Changes, changes_against_first
from pipeline.commands.compare.parameters import differing_parameters
from pipeline.commands.compare.record import Provenance
from pipeline.commands.compare.selection import select_runs
from tests.pipeline.commands.compare.conftest import GENRES, MakeReport, Model, make_model


def _change(make_report: MakeReport, folder: Path, first: Model, other: Model) -> Changes:
    reports = [make_report(folder / str(n), model) for n, model in enumerate((first, other))]
    _, [change] = changes_against_first(select_runs([str(path) for path in reports], folder))
    return change


def test_a_change_is_the_difference_of_the_metrics(make_report: MakeReport, tmp_path: Path) -> None:
    first, other = make_model(1, skill=0.1), make_model(2, skill=0.4)
    change = _change(make_report, tmp_path, first, other)
    assert not change.impossible
    for place, genre in enumerate(GENRES):
        before, now = (
            roc_auc_score(each.labels[:, place], each.probabilities[:, place])
            for each in (first, other)
        )
        found = change.per_genre[genre]["roc_auc"]
        assert found.value == pytest.approx(now - before, abs=1e-6)
        assert found.low is not None
        assert found.high is not None
        assert 0 < found.low < now - before < found.high
        assert found.judgement == "better"
    assert change.overall["hamming_loss"].value < 0  # type: ignore[operator]
    assert change.overall["hamming_loss"].judgement == "better"


def test_the_other_way_round_it_is_worse(make_report: MakeReport, tmp_path: Path) -> None:
    change = _change(make_report, tmp_path, make_model(2, skill=0.4), make_model(1, skill=0.1))
    assert change.overall["macro_roc_auc"].judgement == "worse"
    assert change.overall["hamming_loss"].judgement == "worse"


def test_models_of_one_skill_differ_by_chance(make_report: MakeReport, tmp_path: Path) -> None:
    change = _change(make_report, tmp_path, make_model(1), make_model(2))
    assert change.overall["macro_roc_auc"].value != 0
    assert change.overall["macro_roc_auc"].judgement == "unsure"


def test_genres_in_another_order_are_compared(make_report: MakeReport, tmp_path: Path) -> None:
    first, other = make_model(1), make_model(2, skill=0.4)
    turned = dataclasses.replace(
        other,
        genres=GENRES[::-1],
        labels=other.labels[:, ::-1],
        probabilities=other.probabilities[:, ::-1],
    )
    same = _change(make_report, tmp_path / "same", first, other)
    assert _change(make_report, tmp_path / "turned", first, turned) == same


def _other_covers(model: Model) -> Model:
    return dataclasses.replace(model, ids=[*model.ids[:-1], "9999"])


def _fewer_covers(model: Model) -> Model:
    return Model(model.ids[1:], model.labels[1:], model.probabilities[1:], model.genres)


def _relabelled(model: Model) -> Model:
    labels = model.labels.copy()
    labels[[3, 7]] ^= True
    return dataclasses.replace(model, labels=labels)


@pytest.mark.parametrize(
    ("alter", "reason"),
    [
        (_other_covers, "its test covers differ from those of run 1: 299 of its 300"),
        (_fewer_covers, "its test covers differ from those of run 1: 299 of its 299"),
        (_relabelled, "2 of its 300 test covers have other genres in run 1"),
        (
            lambda model: dataclasses.replace(model, genres=("jazz", *GENRES[1:])),
            "its genres differ",
        ),
        (
            lambda _: Model([], np.zeros((0, 3), bool), np.zeros((0, 3))),
            "there were no test covers",
        ),
    ],
)
def test_runs_with_other_test_covers_are_not_compared(
    make_report: MakeReport, tmp_path: Path, alter: object, reason: str
) -> None:
    assert callable(alter)
    change = _change(make_report, tmp_path, make_model(1), alter(make_model(2)))
    assert reason in change.impossible
    assert not change.overall


def test_each_run_is_compared_or_says_why_not(make_report: MakeReport, tmp_path: Path) -> None:
    reports = [make_report(tmp_path / str(n), make_model(n)) for n in range(5)]
    (tmp_path / "1" / "predictions" / "Split-test" / "covers.gz").write_bytes(b"no TFRecord")
    (tmp_path / "2" / "predictions").rename(tmp_path / "2" / "elsewhere")
    (tmp_path / "3" / "model" / "Format-Serving").rename(tmp_path / "3" / "elsewhere")
    _, changes = changes_against_first(select_runs([str(path) for path in reports], tmp_path))
    reasons = [change.impossible for change in changes]
    assert "cannot be read" in reasons[0]
    assert "not on this machine" in reasons[1]
    assert "cannot be read" in reasons[2]
    assert reasons[3] == ""
    assert "macro_roc_auc" in changes[3].overall


def test_without_predictions_of_the_first_run_nothing_is_compared(
    make_report: MakeReport, tmp_path: Path
) -> None:
    reports = [make_report(tmp_path / str(n)) for n in range(3)]
    (tmp_path / "0" / "predictions").rename(tmp_path / "0" / "elsewhere")
    _, changes = changes_against_first(select_runs([str(path) for path in reports], tmp_path))
    assert [each.impossible for each in changes] == [
        "of run 1, the predictions for the test covers are not on this machine"
    ] * 2


def test_parameters_that_differ() -> None:
    def provenance(ingested: str, **config: object) -> Provenance:
        return Provenance(
            run_id="",
            pipeline="tiny",
            data=ingested,
            data_fingerprint="",
            schema_sha256=None,
            config=config,
            versions={"tensorflow": "2.16.2"},
            artifacts={},
        )

    layers = [{"Conv2D": {"filters": 8}}, {"ReLU": {}}]
    wider = [{"Conv2D": {"filters": 16}}, {"ReLU": {}}, {"Dropout": {"rate": 0.5}}]
    found = differing_parameters(
        [
            provenance("a.csv", name="tiny", data=None, trainer={"epochs": 2, "layers": layers}),
            provenance("a.csv", name="tiny", data="x", trainer={"epochs": 3, "layers": wider}),
            provenance(""),
        ]
    )
    assert found == {
        "trainer.epochs": ["2", "3", None],
        "trainer.layers[0].Conv2D.filters": ["8", "16", None],
        "trainer.layers[2].Dropout.rate": [None, "0.5", None],
    }
