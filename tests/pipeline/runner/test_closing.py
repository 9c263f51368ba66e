from __future__ import annotations

from typing import Any

from components.contracts.decisions import Decision, Refusal
from components.contracts.outcome import Outcome
from components.contracts.quarantine import IngestSummary, Placeholder
from components.support.errors import ModelNotBlessed
from pipeline.runner.closing import describe_ingest, describe_result
from pipeline.runner.result import RunResult


def test_what_was_found_about_labels_is_said_in_the_line_of_ingest() -> None:
    summary = IngestSummary(
        source="labels.csv",
        rows_given=100,
        rows_ingested=50,
        rows_quarantined=50,
        quarantined_by_reason={"placeholder": 50},
        examples=50,
        examples_by_split={"train": 35, "eval": 5, "test": 10},
        near_duplicate_groups=2,
        near_duplicates=4,
        genres_by_split={},
        contradicting_pairs={"merged": 2, "kept": 1},
        placeholders=(Placeholder("0" * 64, "none.jpg", 50, 40, 0.5, 5, flat=True),),
        relabelled=1234,
        without_genre=7,
    )
    line = describe_ingest(summary)
    assert "3 pairs of them with different genres (2 merged, 1 kept)" in line
    assert "none.jpg and its copies are 50 rows (50.0%), probably a placeholder" in line
    assert "1,234 covers relabelled" in line
    assert "7 covers without a genre" in line


def test_a_model_that_is_refused_at_the_push_is_not_refused_by_thresholds() -> None:
    error = ModelNotBlessed("Version 7 was withdrawn.")
    outcome = Outcome.of_error(error)
    assert (outcome, outcome.exit_code) == (Outcome.NOT_BLESSED, 4)
    result = RunResult("id", "p", "data", outcome, {}, 1.0, "log", error=str(error))
    lines = [line for line, _ in describe_result(result)]
    assert "  Version 7 was withdrawn." in lines
    assert not [line for line in lines if "evaluation.gate" in line]


def test_of_ten_thousand_genres_the_first_are_printed() -> None:
    genres = [f"genre {number}" for number in range(10_000)]
    evaluation: dict[str, Any] = {
        "example_count": 7,
        "overall": {},
        "genres": genres,
        "per_genre": {genre: {} for genre in genres},
        "baseline": None,
    }
    rare = tuple(Refusal(genre, f"{genre} is rare") for genre in genres)
    refused = Decision("Evaluator", "NOT BLESSED", rare, rare)
    for outcome in (Outcome.PUSHED, Outcome.NOT_BLESSED, Outcome.DATA_STOPPED):
        result = RunResult(
            "id", "p", "data", outcome, {}, 1.0, "log", refused, evaluation=evaluation
        )
        lines = [line for line, _ in describe_result(result)]
        assert len(lines) < 200
        assert "  and 9,940 more lines, see the report" in lines
    assert "  and 9,950 more genres, see the report" in lines


def test_a_model_that_cannot_be_served_says_by_which_check_and_what_to_do() -> None:
    reasons = (Refusal("latency", "latency: expected less, received more.", remedy="Wait."),)
    near = (Refusal("jazz", "jazz is rare"),)
    decision = Decision("InfraValidator", "It cannot be served", reasons, near)
    result = RunResult("id", "p", "data", Outcome.NOT_BLESSED, {}, 1.0, "log", decision)
    lines = [line for line, _ in describe_result(result)]
    assert "  It cannot be served: 1 problem." in lines
    reason = lines.index("    latency: expected less, received more.")
    assert lines[reason + 1] == "      Wait."
    assert "  Warning: jazz is rare" in lines
    assert "  The limits are in infra_validator of the configuration." in lines
    assert not any("evaluation.gate" in line for line in lines)
