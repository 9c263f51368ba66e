"""A comparison as tables on the console, in which runs are numbered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.cells import cell_len

from components.contracts.metrics import CI_HIGH, CI_LOW, METRICS, metric_text
from components.support.texts import printable
from pipeline.commands.compare.changes import Change
from pipeline.commands.compare.comparison import Comparison

HEADLINES = ("macro_roc_auc", "macro_average_precision")
_OF_GENRE = "roc_auc"
_WIDEST = 40
_GAP = 2
_NONE = "-"


def describe(comparison: Comparison, page: Path) -> Iterator[str]:
    """Yields the lines of the tables.

    Args:
        comparison: what to show.
        page: where the page was written.
    """
    runs = comparison.runs
    numbers = [str(place) for place in range(1, len(runs) + 1)]
    yield from _table(
        ["", "run", "when", "outcome", "test covers", *(METRICS[name].title for name in HEADLINES)],
        [
            [
                number,
                run.name,
                f"{run.when.astimezone():%Y-%m-%d %H:%M}",
                run.outcome.replace("_", " "),
                f"{run.metrics.example_count:,}",
                *(_with_interval(name, run.metrics.overall) for name in HEADLINES),
            ]
            for number, run in zip(numbers, runs, strict=True)
        ],
        whole_columns=2,
    )
    confidences = " or ".join(f"{each:.0%}" for each in comparison.confidences)
    if confidences:
        yield f"In brackets: {confidences} confidence intervals."
    yield ""
    yield from _table(
        [METRICS[_OF_GENRE].title, *numbers],
        [
            [genre, *(_of_genre(run.metrics.per_genre.get(genre)) for run in runs)]
            for genre in comparison.genres
        ],
    )
    yield ""
    if comparison.parameters:
        yield from _table(
            ["parameters that differ", *numbers],
            [
                [name, *(_NONE if value is None else value for value in values)]
                for name, values in comparison.parameters.items()
            ],
        )
    else:
        yield "The parameters of all runs are the same."
    yield ""
    yield from _changes(comparison)
    yield ""
    yield f"Page: {page}"


def _changes(comparison: Comparison) -> Iterator[str]:
    if comparison.are_comparable:
        covers = comparison.runs[0].metrics.example_count
        yield from _table(
            ["change against 1", *(METRICS[name].title for name in HEADLINES)],
            [
                [str(number), *(_change(each.overall[name]) for name in HEADLINES)]
                for number, each in enumerate(comparison.changes, start=2)
                if not each.impossible
            ],
        )
        yield (
            f"On the same {covers:,} test covers. In brackets: {comparison.confidence:.0%} "
            "confidence intervals of the paired differences; chance explains those that hold 0."
        )
    for number, each in enumerate(comparison.changes, start=2):
        if each.impossible:
            yield f"{number} was not compared with 1: {each.impossible}."


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], whole_columns: int = 0
) -> Iterator[str]:
    """Yields aligned lines; cells are shortened but for those of the first columns."""
    lines = [
        [
            printable(cell) if place < whole_columns else _shortened(printable(cell))
            for place, cell in enumerate(line)
        ]
        for line in (head, *rows)
    ]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)
        )
        yield (" " * _GAP).join(cells).rstrip()


def _shortened(text: str) -> str:
    """Leaves out the middle of what is too long, such as a path."""
    end = _WIDEST // 3
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - end - 1]}…{text[-end:]}"


def _with_interval(name: str, values: Mapping[str, float | None]) -> str:
    low, high = values.get(name + CI_LOW), values.get(name + CI_HIGH)
    text = metric_text(name, values)
    return text if low is None or high is None else f"{text} ({low:.3f} to {high:.3f})"


def _of_genre(values: Mapping[str, float | None] | None) -> str:
    return _NONE if values is None else metric_text(_OF_GENRE, values)


def _change(change: Change) -> str:
    if change.value is None:
        return "undefined"
    if change.low is None or change.high is None:
        return f"{change.value:+.3f}"
    words = {"better": "better", "worse": "worse", "unsure": "within chance"}[change.judgement]
    return f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f}) {words}"
