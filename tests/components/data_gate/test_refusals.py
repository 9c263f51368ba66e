from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.contracts.artifacts import GateDecision, Quarantine
from components.contracts.decisions import read_decision, refusal_lines
from components.contracts.files import ANOMALIES_FILE
from components.contracts.quarantine import (
    IngestSummary,
    Placeholder,
    write_quarantine,
    write_summary,
)
from components.data_gate.component import DataGate
from components.data_gate.config import DataGateConfig
from components.data_gate.refusals import decide, describe_drift
from components.support.errors import DataError

GOOD = IngestSummary(
    source="labels.csv",
    rows_given=100,
    rows_ingested=99,
    rows_quarantined=1,
    quarantined_by_reason={"missing_file": 1},
    examples=90,
    examples_by_split={"train": 70, "eval": 10, "test": 10},
    near_duplicate_groups=0,
    near_duplicates=0,
    genres_by_split={split: {"pop": 5, "rock": 5} for split in ("train", "eval", "test")},
)
TOO_MANY = dataclasses.replace(
    GOOD,
    rows_ingested=90,
    rows_quarantined=10,
    quarantined_by_reason={"unknown_genre": 9, "missing_file": 1},
)


def _anomalies() -> anomalies_pb2.Anomalies:
    recorded = anomalies_pb2.Anomalies()
    info = recorded.anomaly_info["genres"]
    info.short_description = "Unexpected string values"
    info.description = "Examples contain values missing from the schema: polka (~3%)."
    return recorded


def _find(summary: IngestSummary, anomalies: dict[str, anomalies_pb2.Anomalies]) -> list[str]:
    decision = decide(summary, anomalies, DataGateConfig(), "quarantine.jsonl")
    return ["\n".join(refusal_lines(refusal)) for refusal in decision.refusals]


def test_good_data_pass() -> None:
    assert _find(GOOD, {"train": anomalies_pb2.Anomalies()}) == []


def test_too_many_quarantined_rows_are_counted_by_reason() -> None:
    (finding,) = _find(TOO_MANY, {})
    refusal = decide(TOO_MANY, {}, DataGateConfig(), "q.jsonl").refusals[0]
    assert (refusal.value, refusal.bound, refusal.support) == (0.1, 0.02, 100)
    assert "at most 2.0% quarantined. Received: 10 of 100 (10.0%)" in finding
    assert "unknown_genre 9, missing_file 1" in finding
    assert "quarantine.jsonl" in finding


def test_a_folder_that_cannot_be_listed_stops_the_run_whatever_its_share() -> None:
    (finding,) = _find(dataclasses.replace(GOOD, unreadable_folders=("rock/live", "pop")), {})
    assert "Received: 2 that cannot, rock/live, pop, with an unknown number of covers." in finding
    assert "chmod" in finding


def test_a_genre_without_examples_in_a_split_is_named() -> None:
    counts = GOOD.genres_by_split | {"test": {"pop": 5, "rock": 0}}
    (finding,) = _find(dataclasses.replace(GOOD, genres_by_split=counts), {})
    assert "split 'test'" in finding
    assert "Received: rock 0." in finding


def test_a_genre_of_two_covers_is_reported_and_stops_nothing() -> None:
    counts = {split: {"pop": 5, "rock": 0} for split in ("train", "eval", "test")}
    counts["train"]["rock"] = counts["test"]["rock"] = 1
    rare = dataclasses.replace(GOOD, genres_by_split=counts, groups_by_genre={"pop": 15, "rock": 2})
    decision = decide(rare, {}, DataGateConfig(), "quarantine.jsonl")
    (warning,) = decision.warnings
    assert decision.passed
    assert "genre 'rock': 2 covers" in warning.what
    assert "1 in train, 1 in test" in warning.what
    assert "evaluation.gate.min_support" in warning.what


def test_an_empty_split_stops_the_run() -> None:
    counts = GOOD.genres_by_split | {"eval": {"pop": 0, "rock": 0}}
    empty = dataclasses.replace(
        GOOD, genres_by_split=counts, examples_by_split={"train": 2, "eval": 0, "test": 1}
    )
    (finding,) = _find(empty, {})
    assert "Received: none in eval, of 90 covers in all" in finding
    assert "at least 3 of one genre" in finding


@pytest.mark.parametrize("choice", ["reported", "stops"])
def test_near_duplicates_across_given_splits(choice: str) -> None:
    leaking = dataclasses.replace(GOOD, given_splits=True, straddling={"train and test": 3})
    config = DataGateConfig(straddling=choice)
    decision = decide(leaking, {}, config, "quarantine.jsonl")
    assert decision.passed == (choice == "reported")
    (found,) = decision.warnings or decision.refusals
    assert "3 pairs that do not: 3 across train and test" in found.what
    assert "straddling.jsonl" in found.remedy


def test_an_anomaly_names_feature_split_and_what_to_do() -> None:
    (finding,) = _find(GOOD, {"eval": _anomalies()})
    assert "feature 'genres', split 'eval': Unexpected string values: Examples contain" in finding
    assert "edit 'genres' in the schema" in finding


@pytest.mark.parametrize("anomalous", [True, False])
def test_the_component_raises_on_anomalies_only(tmp_path: Path, anomalous: bool) -> None:
    anomalies, quarantine = standard_artifacts.ExampleAnomalies(), Quarantine()
    anomalies.uri, quarantine.uri = str(tmp_path / "anomalies"), str(tmp_path / "quarantine")
    decision = GateDecision()
    decision.uri = str(tmp_path / "decision")
    anomalies.split_names = artifact_utils.encode_split_names(["train"])
    split = tmp_path / "anomalies" / "Split-train"
    split.mkdir(parents=True)
    recorded = _anomalies() if anomalous else anomalies_pb2.Anomalies()
    (split / ANOMALIES_FILE).write_bytes(recorded.SerializeToString())
    (tmp_path / "quarantine").mkdir()
    write_summary(tmp_path / "quarantine", GOOD)
    write_quarantine(tmp_path / "quarantine", [])

    def call() -> None:
        DataGate.test_call(
            anomalies=anomalies,
            quarantine=quarantine,
            decision=decision,
            config=DataGateConfig().model_dump_json(),
            code_fingerprint="",
        )

    if anomalous:
        with pytest.raises(DataError, match=r"stopped at the gate: 1 problem\.\n  feature"):
            call()
    else:
        call()
    written = read_decision(decision.uri)
    assert written.passed is not anomalous
    assert [each.where for each in written.refusals] == (
        ["feature 'genres', split 'train'"] if anomalous else []
    )


SPANS = dataclasses.replace(GOOD, spans=(2,), previous_span=1, drift_examples=(300, 400))


def _drift() -> anomalies_pb2.Anomalies:
    recorded = anomalies_pb2.Anomalies()
    recorded.anomaly_info["genres"].short_description = "High Linfty distance"
    for feature, distance in (("genres", 0.4), ("image/size", 0.02)):
        measured = recorded.drift_skew_info.add()
        measured.path.step.append(feature)
        measured.drift_measurements.add(value=distance)
    return recorded


def test_drift_of_a_new_span_stops_and_says_between_which_spans() -> None:
    (finding,) = _find(SPANS, {"newest_span": _drift()})
    assert "feature 'genres', span 2 against span 1: High Linfty distance" in finding
    assert "drift_comparator of 'genres'" in finding
    assert "data_gate.drift=reported" in finding


def test_drift_between_few_covers_or_only_reported_does_not_stop() -> None:
    few = dataclasses.replace(SPANS, drift_examples=(300, 199))
    assert _find(few, {"newest_span": _drift()}) == []
    reported = DataGateConfig(drift="reported")
    decision = decide(SPANS, {"newest_span": _drift()}, reported, "q.jsonl")
    assert decision.passed
    (warning,) = decision.warnings
    assert warning.where == "feature 'genres', span 2 against span 1"
    assert (warning.value, warning.support) == (0.4, 300)


def test_drift_is_described_in_one_line() -> None:
    described = describe_drift(SPANS, _drift())
    assert described == "span 2 against 1: genres 0.40 (too far), image/size 0.02"


def test_a_genre_without_any_example_is_one_finding() -> None:
    absent = dataclasses.replace(
        GOOD, genres_by_split={split: {"pop": 5, "rock": 0} for split in ("train", "eval", "test")}
    )
    (finding,) = _find(absent, {})
    assert "Received: none of rock" in finding


def test_a_genre_absent_from_one_split_names_the_split() -> None:
    absent = dataclasses.replace(
        GOOD,
        genres_by_split={**GOOD.genres_by_split, "eval": {"pop": 5, "rock": 0}},
    )
    (finding,) = _find(absent, {})
    assert "split 'eval'" in finding
    assert "Received: rock 0" in finding


def test_a_placeholder_is_warned_of_and_stops_nothing() -> None:
    found = Placeholder("0" * 64, "covers/none.jpg", 50, 12, 0.5, 4, flat=True)
    set_aside = dataclasses.replace(
        GOOD,
        rows_ingested=49,
        rows_quarantined=51,
        quarantined_by_reason={"placeholder": 50, "missing_file": 1},
        placeholders=(found,),
    )
    decision = decide(set_aside, {}, DataGateConfig(), "quarantine.jsonl")
    assert decision.passed
    (warning,) = decision.warnings
    assert "covers/none.jpg" in warning.what
    assert "50 rows (50.0%)" in warning.what
    assert "set aside" in warning.what
    faulty = dataclasses.replace(
        set_aside, quarantined_by_reason={"placeholder": 48, "missing_file": 3}
    )
    (refusal,) = decide(faulty, {}, DataGateConfig(), "quarantine.jsonl").refusals
    assert "3 of 100 (3.0%): missing_file 3." in refusal.what
    kept = dataclasses.replace(GOOD, placeholders=(found,))
    (warning,) = decide(kept, {}, DataGateConfig(), "quarantine.jsonl").warnings
    assert "kept" in warning.what


def test_covers_that_a_person_dropped_stop_nothing() -> None:
    dropped = dataclasses.replace(
        GOOD,
        rows_ingested=49,
        rows_quarantined=51,
        quarantined_by_reason={"dropped": 50, "missing_file": 1},
    )
    assert decide(dropped, {}, DataGateConfig(), "quarantine.jsonl").passed
