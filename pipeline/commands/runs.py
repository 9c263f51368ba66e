"""Shows past runs as a table or as dictionaries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.contracts.metrics import RUN_COLUMNS, metric_text
from pipeline.runner.history import PastRun

_LEAST_WIDTH = 23


def runs_to_dicts(runs: Sequence[PastRun]) -> list[dict[str, Any]]:
    """Returns each run with its outcome and, where there is one, its full result."""
    return [
        {
            "run_id": run.run_id,
            "started": run.started.isoformat(timespec="seconds"),
            "outcome": run.verdict,
            "pruned": run.is_pruned,
            "result": json.loads(run.result.to_json()) if run.result else None,
        }
        for run in runs
    ]


def describe_runs(runs: Sequence[PastRun], pipeline_root: Path) -> Iterator[str]:
    """Yields a table, newest run first."""
    if not runs:
        yield f"No runs in {pipeline_root} yet. Start one with: covers run"
        return
    width = max(_LEAST_WIDTH, *(len(run.run_id) for run in runs))
    yield _line(width, "run", "started", "pipeline", "verdict", RUN_COLUMNS, "data")
    for run in runs:
        result = run.result
        yield _line(
            width,
            run.run_id,
            f"{run.started:%Y-%m-%d %H:%M:%S}",
            run.pipeline,
            run.verdict.replace("_", " "),
            tuple(_metric(run, name) for name in RUN_COLUMNS),
            (result.data if result else "") + (" (pruned)" if run.is_pruned else ""),
        )


def _metric(run: PastRun, name: str) -> str:
    evaluation = run.result.evaluation if run.result else None
    return metric_text(name, evaluation["overall"]) if evaluation else ""


def _line(
    width: int,
    run: str,
    started: str,
    pipeline: str,
    verdict: str,
    metrics: Sequence[str],
    data: str,
) -> str:
    cells = "".join(f"{metric:>18}" for metric in metrics)
    return f"{run:<{width}} {started:<20} {pipeline:<12} {verdict:<13}{cells}  {data}".rstrip()
