"""Says in plain lines how a run ended, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from components.contracts.quarantine import IngestSummary
from pipeline.runner.result import Outcome, RunResult

Line = tuple[str, str | None]

_OVERALL = ("macro_roc_auc", "macro_average_precision", "hamming_loss", "exact_match_ratio")
_PER_GENRE = ("roc_auc", "average_precision", "precision", "recall", "f1")


def describe_ingest(summary: IngestSummary) -> str:
    """Returns the account of rows in one line; what was given is what is accounted for."""
    account = (
        f"{summary.rows_given:,} rows = {summary.rows_ingested:,} ingested "
        f"+ {summary.rows_quarantined:,} quarantined"
    )
    if summary.rows_quarantined:
        counts = summary.quarantined_by_reason.items()
        account += " (" + ", ".join(f"{reason} {count:,}" for reason, count in counts) + ")"
    splits = " / ".join(f"{count:,} {split}" for split, count in summary.examples_by_split.items())
    parts = [account, f"{summary.examples:,} covers: {splits}"]
    if summary.spans:
        first, last = summary.spans[0], summary.spans[-1]
        parts.insert(0, f"span {last}" if first == last else f"spans {first} to {last}")
    if summary.near_duplicates:
        parts.append(
            f"{summary.near_duplicates:,} near-duplicates in {summary.near_duplicate_groups:,} "
            "groups"
        )
    if summary.unlisted_files:
        parts.append(f"{summary.unlisted_files:,} image files that no row names")
    return "; ".join(parts)


def describe_result(result: RunResult) -> Iterator[Line]:
    """Yields the closing lines of a run: metrics, verdict, reasons and where to look."""
    if result.evaluation:
        yield from _metrics(result.evaluation)
    yield "", None
    took = f"{result.seconds / 60:.1f} min" if result.seconds >= 100 else f"{result.seconds:.1f} s"
    if result.outcome is Outcome.PUSHED:
        yield f"PUSHED to {result.pushed_model}", "bold green"
        yield from _compared(result.evaluation)
    else:
        yield _HEADLINES[result.outcome], "bold red"
        for reason in result.reasons:
            for line in reason.splitlines():
                yield f"  {line}", None
    if result.evaluation:
        for warning in result.evaluation["warnings"]:
            yield f"  Warning: {warning['sentence']}", "yellow"
    if result.outcome is Outcome.NOT_BLESSED:
        yield from _compared(result.evaluation)
        yield "  The thresholds are in evaluation.gate of the configuration.", None
    if result.report:
        yield f"  Report: {result.report}", "bold"
    yield f"  {took}; log: {result.log_file}", "dim"


_HEADLINES = {
    Outcome.NOT_BLESSED: "NOT PUSHED: the model was trained and evaluated, and refused",
    Outcome.DATA_STOPPED: "NOT TRAINED: the data were stopped",
    Outcome.MISCONFIGURED: "STOPPED: the configuration is wrong",
    Outcome.FAILED: "FAILED",
    Outcome.INTERRUPTED: "INTERRUPTED",
}


def _metrics(evaluation: dict[str, Any]) -> Iterator[Line]:
    overall = evaluation["overall"]
    yield "", None
    yield f"  Test split, {evaluation['example_count']:,} covers", "bold"
    yield "  " + ", ".join(f"{name} {_number(overall.get(name))}" for name in _OVERALL), None
    yield f"  {'genre':<16}" + "".join(f"{name:>18}" for name in _PER_GENRE), "dim"
    for genre in evaluation["genres"]:
        values = evaluation["per_genre"][genre]
        cells = "".join(f"{_number(values.get(name)):>18}" for name in _PER_GENRE)
        yield f"  {genre:<16}{cells}", None


def _compared(evaluation: dict[str, Any] | None) -> Iterator[Line]:
    if not evaluation:
        return
    baseline = evaluation["baseline"]
    if baseline is None:
        yield "  There was no pushed model to compare with.", None
        return
    before, now = baseline["overall"].get("macro_roc_auc"), evaluation["overall"]["macro_roc_auc"]
    yield (
        f"  Compared with the latest pushed model: macro_roc_auc {_number(before)} before, "
        f"{_number(now)} now.",
        None,
    )


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
