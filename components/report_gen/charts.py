"""Charts as inline SVG: Vega-Lite drawn by vl-convert, without a browser and without the network.

Colours are CSS variables of the page, so that one drawing fits light, dark and print.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from components.report_gen.svg import compact

_VERSION = "5.20"
_SQUARE = 220
_PADDING = {"left": 46, "top": 8, "right": 12, "bottom": 40}
_FONT = "Inter, system-ui, sans-serif"
_CONFIG = {
    "background": None,
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "tickCount": 5,
    },
}
_LABEL_SIZE = 13
_LABEL_LIMIT = 170
_MANY_ROWS = 20
_SHARE = {"type": "quantitative", "scale": {"domain": [0, 1]}}


@dataclasses.dataclass(frozen=True)
class Chart:
    """A drawing, and where its plot area is in it, for marks that the page moves.

    Attributes:
        svg: safe to put into the page.
        left: x of the plot area.
        top: y of it.
        width: its width; its height is the same if `width` is used.
    """

    svg: Markup
    left: int = _PADDING["left"]
    top: int = _PADDING["top"]
    width: int = _SQUARE


def curve(
    points: Sequence[Sequence[float]], x: str, y: str, label: str, *, guess: float | None = None
) -> Chart:
    """Draws a curve in the unit square.

    Args:
        points: x and y of each.
        x: title of the axis.
        y: title of the axis.
        label: what the chart shows, for readers who cannot see it.
        guess: height of the line that guessing gives; None for the diagonal.
    """
    low, high = (0.0, 1.0) if guess is None else (guess, guess)
    layers = [
        _line([[0, low], [1, high]], "var(--faint)", width=1.5, dash=[4, 4]),
        _line(points, "var(--accent)", width=2.5),
    ]
    return Chart(draw({**_unit_square(x, y), "layer": layers}, label))


def calibration(points: Sequence[Mapping[str, float]], label: str) -> Chart:
    """Draws mean probability against share of positives; a larger point stands for more covers."""
    pairs = [[p["mean_probability"], p["share_of_positives"]] for p in points]
    bubbles = {
        "data": {"values": list(points)},
        "mark": {"type": "circle", "color": "var(--accent)", "opacity": 0.85},
        "encoding": {
            "x": {"field": "mean_probability", **_SHARE},
            "y": {"field": "share_of_positives", **_SHARE},
            "size": {
                "field": "covers",
                "type": "quantitative",
                "scale": {"rangeMin": 20, "rangeMax": 320},
                "legend": None,
            },
        },
    }
    layers = [
        _line([[0, 0], [1, 1]], "var(--faint)", width=1.5, dash=[4, 4]),
        _line(pairs, "var(--accent)", width=1.5),
        bubbles,
    ]
    return Chart(
        draw({**_unit_square("Probability", "Share that has the genre"), "layer": layers}, label)
    )


def intervals(rows: Sequence[Mapping[str, Any]], title: str, label: str) -> Chart:
    """Draws a value with its interval for each genre, beside the pushed model's and the bound.

    Args:
        rows: `genre`, `value`, `low`, `high`, `baseline` and `bound`; a number may be None.
        title: of the axis.
        label: see `curve`.
    """
    numbers = [row[key] for row in rows for key in ("value", "low", "high", "baseline", "bound")]
    known = [number for number in numbers if number is not None]
    domain = [max(0.0, min(known, default=0.0) - 0.03), min(1.0, max(known, default=1.0) + 0.03)]
    x = {"type": "quantitative", "scale": {"domain": domain, "zero": False}, "title": title}

    def layer(mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
        return {"mark": mark, "encoding": {"y": y, **encoding}}

    y = _genres([row["genre"] for row in rows])
    spec = {
        "width": 380,
        "height": {"step": 34 if len(rows) <= _MANY_ROWS else 22},
        "data": {"values": list(rows)},
        "layer": [
            layer(
                {"type": "tick", "color": "var(--bad)", "thickness": 2, "size": 20},
                x={"field": "bound", **x},
            ),
            layer(
                {"type": "rule", "color": "var(--accent)", "strokeWidth": 3, "strokeCap": "round"},
                x={"field": "low", **x},
                x2={"field": "high"},
            ),
            layer(
                {
                    "type": "point",
                    "shape": "diamond",
                    "size": 70,
                    "fill": "var(--card)",
                    "stroke": "var(--muted)",
                    "opacity": 1,
                    "strokeWidth": 2,
                },
                x={"field": "baseline", **x},
            ),
            layer(
                {
                    "type": "point",
                    "filled": True,
                    "size": 110,
                    "opacity": 1,
                    "color": "var(--accent)",
                },
                x={"field": "value", **x},
            ),
        ],
    }
    return Chart(draw(spec, label))


def training(
    rows: Sequence[Mapping[str, Any]],
    series: Mapping[str, str],
    title: str,
    chosen: int | None,
    label: str,
) -> Chart:
    """Draws metrics over epochs.

    Args:
        rows: one mapping per epoch, with `epoch` and the metrics.
        series: metric -> CSS colour.
        title: of the vertical axis.
        chosen: the epoch whose weights are exported; None draws no mark.
        label: see `curve`.
    """
    layers: list[dict[str, Any]] = []
    if chosen is not None:
        layers.append(
            {
                "data": {"values": [{"epoch": chosen}]},
                "mark": {"type": "rule", "color": "var(--faint)", "strokeDash": [4, 4]},
                "encoding": {"x": {"field": "epoch", "type": "quantitative"}},
            }
        )
    for name, colour in series.items():
        values = [{"epoch": r["epoch"], "value": r[name]} for r in rows if r.get(name) is not None]
        layers.append(
            {
                "data": {"values": values},
                "mark": {
                    "type": "line",
                    "color": colour,
                    "strokeWidth": 2.2,
                    "point": {"size": 22, "color": colour, "filled": True},
                },
                "encoding": by_epoch(title),
            }
        )
    return Chart(draw({"width": 330, "height": 190, "layer": layers}, label))


def by_epoch(title: str) -> dict[str, Any]:
    """Returns the encoding of points with `epoch` and `value`; `title` is the vertical axis's."""
    return {
        "x": {
            "field": "epoch",
            "type": "quantitative",
            "title": "Epoch",
            "axis": {"tickMinStep": 1, "format": "d", "grid": False},
            "scale": {"nice": False},
        },
        "y": {
            "field": "value",
            "type": "quantitative",
            "title": title,
            "scale": {"zero": False},
        },
    }


def shares(rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str], label: str) -> Chart:
    """Draws the share of covers that have each genre, one dot per split.

    Args:
        rows: `genre`, `split` and `share`.
        colours: split -> CSS colour.
        label: see `curve`.
    """
    genres = {row["genre"]: None for row in rows}
    spec = {
        "width": 360,
        "height": {"step": 30 if len(genres) <= _MANY_ROWS else 22},
        "data": {"values": list(rows)},
        "mark": {"type": "point", "filled": True, "size": 95, "opacity": 0.9},
        "encoding": {
            "y": _genres(genres, grid=True),
            "x": {
                "field": "share",
                "type": "quantitative",
                "title": "Share of the split's covers",
                "axis": {"format": "%", "grid": False},
                "scale": {"zero": True},
            },
            "color": {
                "field": "split",
                "type": "nominal",
                "scale": {"domain": list(colours), "range": list(colours.values())},
                "legend": None,
            },
        },
    }
    return Chart(draw(spec, label))


def _genres(names: Iterable[str], *, grid: bool = False) -> dict[str, Any]:
    """Encodes the genre of a row, with room for the longest name in whatever font a reader has."""
    return {
        "field": "genre",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {
            "labelFontSize": _LABEL_SIZE,
            "labelColor": "var(--ink)",
            "domain": False,
            "ticks": False,
            "grid": grid,
            "labelLimit": _LABEL_LIMIT,
            "labelPadding": 8,
            "minExtent": min(1.15 * _LABEL_LIMIT, max(map(_widest, names), default=0.0)),
        },
    }


def _widest(text: str) -> float:
    """Returns the width of a label, pixels, in a wide font."""
    ems = (1.05 if unicodedata.east_asian_width(c) in "WF" else 0.66 for c in text)
    return 14.0 + _LABEL_SIZE * sum(ems)


def _unit_square(x: str, y: str) -> dict[str, Any]:
    return {
        "width": _SQUARE,
        "height": _SQUARE,
        "autosize": "none",
        "padding": _PADDING,
        "encoding": {"x": {"title": x, **_SHARE}, "y": {"title": y, **_SHARE}},
    }


def _line(
    points: Sequence[Sequence[float]], colour: str, width: float, dash: list[int] | None = None
) -> dict[str, Any]:
    values = [{"x": x, "y": y, "order": i} for i, (x, y) in enumerate(points)]
    return {
        "data": {"values": values},
        "mark": {"type": "line", "color": colour, "strokeWidth": width, "strokeDash": dash or []},
        "encoding": {
            "x": {"field": "x", "type": "quantitative"},
            "y": {"field": "y", "type": "quantitative"},
            "order": {"field": "order", "type": "quantitative"},
        },
    }


def draw(spec: dict[str, Any], label: str) -> Markup:
    """Returns a Vega-Lite specification as SVG in the colours of the page; see `curve`."""
    import vl_convert

    svg = compact(vl_convert.vegalite_to_svg({"config": _CONFIG, **spec}, vl_version=_VERSION))
    # The label says it all; the parts would be read out one by one.
    opening = f'<svg role="img" aria-label="{escape(label)}" '
    return Markup(svg.replace("<svg ", opening, 1))
