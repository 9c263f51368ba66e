"""Two distributions in one drawing, before and now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.report_gen.charts import Chart, draw

BEFORE_COLOUR, NOW_COLOUR = "var(--accent)", "var(--second)"

_WIDTH, _HEIGHT = 330, 150
_SHARE_AXIS = {"format": "%", "tickCount": 4}


def numbers(
    edges: Sequence[float], before: Sequence[float], now: Sequence[float], label: str
) -> Chart:
    """Draws two histograms of numbers over each other.

    Args:
        edges: of the bins, one more than bins.
        before: share of the values in each bin.
        now: the same of the other side.
        label: what the chart shows, for readers who cannot see it.
    """
    rows = [
        {"side": side, "low": low, "high": high, "share": share}
        for side, shares in (("before", before), ("now", now))
        for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True)
    ]
    return _bars(
        rows,
        {
            "x": {
                "field": "low",
                "type": "quantitative",
                "title": None,
                "scale": {"zero": False, "nice": False},
                "axis": {"grid": False},
            },
            "x2": {"field": "high"},
        },
        {"opacity": 0.55},
        label,
    )


def categories(
    names: Sequence[str], before: Sequence[float], now: Sequence[float], label: str
) -> Chart:
    """Draws the shares of categories side by side; see `numbers`."""
    rows = [
        {"side": side, "name": name, "share": share}
        for side, shares in (("before", before), ("now", now))
        for name, share in zip(names, shares, strict=True)
    ]
    x = {
        "field": "name",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {"labelAngle": 0, "grid": False, "labelLimit": 120},
    }
    return _bars(rows, {"x": x, "xOffset": {"field": "side"}}, {}, label)


def _bars(
    rows: Sequence[dict[str, Any]], places: dict[str, Any], mark: dict[str, Any], label: str
) -> Chart:
    spec = {
        "width": _WIDTH,
        "height": _HEIGHT,
        "data": {"values": rows},
        "mark": {"type": "bar", **mark},
        "encoding": {
            **places,
            "y": {
                "field": "share",
                "type": "quantitative",
                "title": "Share of covers",
                "stack": None,
                "axis": _SHARE_AXIS,
            },
            "color": {
                "field": "side",
                "type": "nominal",
                "scale": {"domain": ["before", "now"], "range": [BEFORE_COLOUR, NOW_COLOUR]},
                "legend": None,
            },
        },
    }
    return Chart(draw(spec, label))
