"""Tables of genres on the console: columns stand below each other in any script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from components.contracts.outcome import Outcome
from pipeline.commands.predict import Prediction
from pipeline.commands.reports import compare_reports
from pipeline.runner.closing import describe_result
from pipeline.runner.result import RunResult

NAMES = (
    "rock",
    "東京",
    "e\u0301lectro",
    "हिन्दी",
    "ไทย",
    "Folk, World, & Country and everything else",
)
VALUES = {"roc_auc": 0.5, "average_precision": 0.25, "precision": 0.5, "recall": 0.5, "f1": 0.5}


def _evaluation() -> dict[str, Any]:
    return {
        "overall": {},
        "example_count": 10,
        "genres": list(NAMES),
        "confidence": None,
        "per_genre": dict.fromkeys(NAMES, VALUES),
        "baseline": None,
    }


def test_the_table_of_genres_is_aligned() -> None:
    result = RunResult(
        "1", "covers", "data", Outcome.NOT_BLESSED, {}, 1.0, "log", evaluation=_evaluation()
    )
    lines = [line for line, _ in describe_result(result)]
    first = next(place for place, line in enumerate(lines) if line.startswith("  genre "))
    table = lines[first : first + 1 + len(NAMES)]
    assert len({cell_len(line) for line in table}) == 1
    for name, line in zip(NAMES, table[1:], strict=True):
        assert line.startswith(f"  {name}  ")


def test_compared_reports_are_aligned(tmp_path: Path) -> None:
    report = {
        "format_version": 1,
        "created": "2026-11-24T05:52:00+00:00",
        "verdict": {"outcome": "pushed"},
        "evaluation": _evaluation(),
        "data": {"summary": None},
        "training": None,
        "provenance": {
            "run_id": "",
            "pipeline": "covers",
            "data": "",
            "data_fingerprint": "",
            "schema_sha256": None,
            "config": {},
            "versions": {},
            "artifacts": {},
        },
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    page = tmp_path / "report.html"
    lines = list(compare_reports((page, page)))
    numbers = [line for line in lines if not line.startswith("run ended")]
    assert len({cell_len(line) for line in numbers}) == 1
    for name in NAMES:
        assert any(line.startswith(f"{name}: f1  ") for line in lines)


def test_a_predicted_name_that_looks_like_a_list_is_quoted() -> None:
    name = "Folk, World, & Country"
    prediction = Prediction("a.jpg", {"rock": 0.9, name: 0.8}, ("rock", name))
    assert str(prediction).startswith('a.jpg: rock, "Folk, World, & Country"  (rock 0.90  Folk')
