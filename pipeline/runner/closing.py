"""Says in plain lines how a run ended, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from components.contracts.decisions import decision_text
from components.contracts.genre_names import listing
from components.contracts.metrics import GENRE_COLUMNS, HEADLINES, metric_text
from components.contracts.nodes import INFRA_VALIDATOR
from components.contracts.outcome import Outcome
from components.contracts.quarantine import IngestSummary, describe_clutter
from pipeline.runner.result import RunResult

Line = tuple[str, str | None]

_COMPARED = "macro_roc_auc"
_LEAST_WIDTH = 16
_MOST_GENRES = 50
_MOST_LINES = 60


def describe_ingest(summary: IngestSummary) -> str:
    """Returns the row counts in one line; they add up to the rows given."""
    account = (
        f"{summary.rows_given:,} rows = {summary.rows_ingested:,} ingested "
        f"+ {summary.rows_quarantined:,} quarantined"
    )
    if summary.rows_quarantined:
        counts = summary.quarantined_by_reason.items()
        account += " (" + ", ".join(f"{reason} {count:,}" for reason, count in counts) + ")"
    splits = " / ".join(f"{count:,} {split}" for split, count in summary.examples_by_split.items())
    parts = [account, f"{summary.examples:,} covers: {splits}"]
    if summary.given_splits:
        drawn = " and ".join(summary.drawn_from_train)
        parts.append("splits as given" + (f", {drawn} drawn from train" if drawn else ""))
    if summary.spans:
        first, last = summary.spans[0], summary.spans[-1]
        parts.insert(0, f"span {last}" if first == last else f"spans {first} to {last}")
    if summary.near_duplicates:
        parts.append(
            f"{summary.near_duplicates:,} near-duplicates in {summary.near_duplicate_groups:,} "
            "groups"
        )
    contradicting = sum(summary.contradicting_pairs.values())
    if contradicting:
        outcomes = ", ".join(
            f"{count:,} {outcome}" for outcome, count in summary.contradicting_pairs.items()
        )
        parts.append(f"{contradicting:,} pairs of them with different genres ({outcomes})")
    if summary.relabelled:
        parts.append(f"{summary.relabelled:,} covers relabelled")
    if summary.without_genre:
        parts.append(f"{summary.without_genre:,} covers without a genre")
    for found in summary.placeholders:
        parts.append(
            f"{found.path} and its copies are {found.rows:,} rows ({found.share:.1%}), probably a "
            "placeholder"
        )
    if summary.unreadable_folders:
        folders = summary.unreadable_folders
        parts.append(
            f"{len(folders):,} folder{'' if len(folders) == 1 else 's'} could not be listed "
            f"({listing(folders)}): how many covers are in there is unknown, each counts as one row"
        )
    if summary.unlisted_files:
        parts.append(f"{summary.unlisted_files:,} image files that no row names")
    for images, what in ((summary.converted, "converted"), (summary.corrected, "corrected")):
        if images:
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in images.items())
            parts.append(f"{sum(images.values()):,} {what} ({kinds})")
    if summary.imperfect:
        parts.append(f"{summary.imperfect:,} imperfect but whole")
    if summary.clutter:
        parts.append(f"left out: {describe_clutter(summary.clutter)}")
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
        yield from _reasons(result)
    if result.decision:
        warnings = [f"  Warning: {warning.what}" for warning in result.decision.warnings]
        yield from _first_lines(warnings, "yellow")
    if result.outcome is Outcome.NOT_BLESSED:
        yield from _compared(result.evaluation)
        if not result.error:
            where = "limits are in infra_validator" if _is_unservable(result) else _THRESHOLDS
            yield f"  The {where} of the configuration.", None
    for fault in result.faults:
        yield f"  After that: {fault}", "red"
    if result.report:
        yield f"  Report: {result.report}", "bold"
    yield f"  {took}; log: {result.log_file}", "dim"


_HEADLINES = {
    Outcome.NOT_BLESSED: "NOT PUSHED: the model was trained and evaluated, but refused",
    Outcome.DATA_STOPPED: "NOT TRAINED: the data were stopped",
    Outcome.MISCONFIGURED: "STOPPED: the configuration is wrong",
    Outcome.FAILED: "FAILED",
    Outcome.INTERRUPTED: "INTERRUPTED",
}


_THRESHOLDS = "thresholds are in evaluation.gate"


def _is_unservable(result: RunResult) -> bool:
    return result.decision is not None and result.decision.gate == INFRA_VALIDATOR


def _reasons(result: RunResult) -> Iterator[Line]:
    if result.outcome is Outcome.NOT_BLESSED and not _is_unservable(result):
        text = "\n".join(result.reasons)
    elif result.decision and not result.decision.passed:
        text = decision_text(result.decision)
    else:
        text = result.error
    yield from _first_lines([f"  {line}" for line in text.splitlines()], None)


def _first_lines(lines: Sequence[str], style: str | None) -> Iterator[Line]:
    for line in lines[:_MOST_LINES]:
        yield line, style
    if len(lines) > _MOST_LINES:
        yield f"  and {len(lines) - _MOST_LINES:,} more lines, see the report", "dim"


def _metrics(evaluation: dict[str, Any]) -> Iterator[Line]:
    overall = evaluation["overall"]
    yield "", None
    yield f"  Test split, {evaluation['example_count']:,} covers", "bold"
    yield "  " + ", ".join(f"{name} {metric_text(name, overall)}" for name in HEADLINES), None
    columns = GENRE_COLUMNS[:-1]
    width = max(_LEAST_WIDTH, *(cell_len(genre) + 2 for genre in evaluation["genres"]))
    yield f"  {'genre':<{width}}" + "".join(f"{name:>18}" for name in columns), "dim"
    genres = evaluation["genres"]
    for genre in genres[:_MOST_GENRES]:
        values = evaluation["per_genre"][genre]
        cells = "".join(f"{metric_text(name, values):>18}" for name in columns)
        yield f"  {set_cell_size(genre, width)}{cells}", None
    if len(genres) > _MOST_GENRES:
        yield f"  and {len(genres) - _MOST_GENRES:,} more genres, see the report", "dim"


def _compared(evaluation: dict[str, Any] | None) -> Iterator[Line]:
    if not evaluation:
        return
    baseline = evaluation["baseline"]
    if baseline is None:
        yield "  There was no pushed model to compare with.", None
        return
    before, now = (metric_text(_COMPARED, each["overall"]) for each in (baseline, evaluation))
    yield (
        f"  Compared with the latest pushed model: {_COMPARED} {before} before, {now} now.",
        None,
    )
