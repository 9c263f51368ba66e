"""The page of a comparison: one offline file, in the look of a run's report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from components.contracts.metrics import CI_HIGH, CI_LOW, COMPARED_PER_GENRE, METRICS, TILES
from components.report_gen import charts
from components.report_gen.overlays import Line, overlay
from components.report_gen.page import page_environment, page_style, policy
from components.report_gen.palette import LIGHT, palette_style
from components.support.texts import shortened
from pipeline.commands.compare.comparison import Comparison
from pipeline.commands.compare.selection import ComparedRun

_TEMPLATE = "compare.html"
_INTERVALS = ("macro_roc_auc", "macro_average_precision")
_CURVES = {
    "val_macro_roc_auc": "Macro ROC AUC, eval split",
    "val_loss": "Loss, eval split",
    "macro_roc_auc": "Macro ROC AUC, train split",
    "loss": "Loss, train split",
}
_DRAWN_POINTS = 120
_LONGEST_VALUE = 400
_NUMBER = ".number { white-space: nowrap; }\n"
# Runs beyond the colours of the palette have the same ones, dashed.
_DASHES: tuple[tuple[int, ...], ...] = ((), (7, 3), (2, 3))


def render_page(comparison: Comparison) -> str:
    """Returns the page."""
    environment = page_environment(Path(__file__).parent)
    environment.filters["short"] = lambda text: shortened(text, _LONGEST_VALUE)
    style = page_style() + palette_style("run") + _NUMBER
    return environment.get_template(_TEMPLATE).render(
        comparison=comparison,
        changes=list(enumerate(comparison.changes, start=2)),
        colours=[place % len(LIGHT) + 1 for place in range(len(comparison.runs))],
        tiles=TILES,
        per_genre=COMPARED_PER_GENRE,
        intervals={METRICS[name].title: _intervals(comparison, name) for name in _INTERVALS},
        curves=_curves(comparison.runs),
        style=Markup(style),
        policy=policy(style),
    )


def _intervals(comparison: Comparison, metric: str) -> charts.Chart:
    rows = [
        {
            "genre": f"{number}  {run.when:%Y-%m-%d %H:%M}",
            "value": run.metrics.overall.get(metric),
            "low": run.metrics.overall.get(metric + CI_LOW),
            "high": run.metrics.overall.get(metric + CI_HIGH),
            "baseline": None,
            "bound": None,
        }
        for number, run in enumerate(comparison.runs, start=1)
    ]
    title = METRICS[metric].title
    label = f"{title} of each run with its confidence interval; the table has the numbers"
    return charts.intervals(rows, title, label)


def _curves(runs: Sequence[ComparedRun]) -> dict[str, charts.Chart]:
    drawn = {}
    for metric, title in _CURVES.items():
        lines = [line for place, run in enumerate(runs) if (line := _line(place, run, metric))]
        if lines:
            label = f"{title}, by epoch, of {len(lines)} run{'s' if len(lines) > 1 else ''}"
            drawn[title] = overlay(lines, title.partition(",")[0], label)
    return drawn


def _line(place: int, run: ComparedRun, metric: str) -> Line | None:
    history = run.record.training and run.record.training.history
    points = [point for row in history.epochs if (point := _point(row, metric))] if history else []
    if not history or not points:
        return None
    round_, colour = divmod(place, len(LIGHT))
    return Line(
        points=points[:: math.ceil(len(points) / _DRAWN_POINTS)],
        colour=f"var(--run-{colour + 1})",
        dash=_DASHES[round_ % len(_DASHES)],
        chosen=history.exported_epoch,
    )


def _point(row: Mapping[str, Any], metric: str) -> tuple[int, float] | None:
    epoch, value = row.get("epoch"), row.get(metric)
    if not isinstance(epoch, int) or not isinstance(value, int | float):
        return None
    return (epoch, float(value)) if math.isfinite(value) else None
