"""Curves of several trainings in one chart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from components.report_gen.charts import Chart, by_epoch, draw


@dataclasses.dataclass(frozen=True)
class Line:
    """A metric of one training.

    Attributes:
        points: epoch and value of each.
        colour: in CSS.
        dash: lengths of dashes and gaps; empty for a whole line.
        chosen: the epoch whose weights are exported; None marks no point.
    """

    points: Sequence[tuple[int, float]]
    colour: str
    dash: tuple[int, ...] = ()
    chosen: int | None = None


def overlay(lines: Sequence[Line], title: str, label: str) -> Chart:
    """Draws a metric of several trainings over epochs.

    Args:
        lines: one for each training.
        title: of the vertical axis.
        label: what the chart shows, for readers who cannot see it.
    """
    encoding = by_epoch(title)
    layers = [{**layer, "encoding": encoding} for line in lines for layer in _layers(line)]
    return Chart(draw({"width": 330, "height": 210, "layer": layers}, label))


def _layers(line: Line) -> list[dict[str, Any]]:
    points = [{"epoch": epoch, "value": value} for epoch, value in line.points]
    chosen = [point for point in points if point["epoch"] == line.chosen]
    drawn = {
        "mark": {
            "type": "line",
            "color": line.colour,
            "strokeWidth": 2.0,
            "strokeDash": list(line.dash),
        },
        "data": {"values": points},
    }
    marked = {
        "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": line.colour},
        "data": {"values": chosen or (points if len(points) == 1 else [])},
    }
    return [drawn, marked]
