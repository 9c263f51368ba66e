"""What the page shows besides the report itself: charts, table rows and shades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.contracts.genre_names import listing
from components.contracts.label_schema import SLICE_PREFIX
from components.contracts.metrics import (
    COLUMN_SLICE_COLUMNS,
    EXAMPLE_COUNT,
    GENRE_COLUMNS,
    OVERALL_METRICS,
    SLICE_COLUMNS,
    TILES,
)
from components.report_gen import charts
from components.report_gen.cover_map import MARKS
from components.report_gen.palette import LIGHT

SLICES = {
    "genres": "Covers that have the genre",
    "genre_count": "By number of genres",
    "image_side": "By image size (shorter side)",
}
SPLIT_COLOURS = {"train": "var(--accent)", "eval": "var(--second)", "test": "var(--third)"}
MANY_GENRES = 20
"""From this number of genres on, the page lists less of each, and folds away more."""
SHOWN_LABEL_ERRORS = 40
_SHADES = 10
_PAIRS = 40
_MAP_WIDTH, _MAP_HEIGHT, _MAP_MARGIN = 720, 480, 10
_DRAWN_POINTS = 120
_SHOWN = (*TILES, EXAMPLE_COUNT)


def make_views(report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the template needs and the report does not hold."""
    evaluation, curves = report["evaluation"], report["genres"]
    genres = evaluation["genres"] if evaluation else []
    matrices = _matrices(report) if evaluation and report["co_occurrence"] else []
    return {
        "many": len(genres) > MANY_GENRES,
        "genre_columns": GENRE_COLUMNS,
        "tiles": TILES,
        "overall_metrics": [*TILES, *(name for name in OVERALL_METRICS if name not in _SHOWN)],
        "slices": SLICES,
        "slice_columns": SLICE_COLUMNS,
        "column_slices": {
            feature.removeprefix(SLICE_PREFIX): feature
            for feature in (evaluation["slices"] if evaluation else ())
            if feature.startswith(SLICE_PREFIX)
        },
        "shown_label_errors": SHOWN_LABEL_ERRORS,
        "column_slice_columns": COLUMN_SLICE_COLUMNS,
        "split_colours": SPLIT_COLOURS,
        "intervals": _intervals(evaluation) if evaluation and evaluation["per_genre"] else None,
        # A list, because the keys of JSON have no order.
        "thresholds": [_thresholds(described) for described in (curves or {}).values()],
        "curves": {genre: _curves(genre, c, evaluation) for genre, c in (curves or {}).items()},
        "matrices": matrices,
        "pairs": [_pairs(matrix, genres) for matrix in matrices],
        "training": _training(report["training"]),
        "shares": _shares(report["data"]["summary"]),
        "map": _map(report["map"], genres) if report["map"] else None,
    }


def _map(described: Mapping[str, Any], genres: Sequence[str]) -> dict[str, Any]:
    """Returns the map's size, its points and their colours, one for each of the largest genres."""
    largest = sorted(genres, key=lambda genre: -described["genres"][genre]["covers"])
    coloured = sorted(largest[: len(LIGHT)], key=genres.index)
    numbers = {genre: place for place, genre in enumerate(genres)}
    points = [
        {
            "x": round(_MAP_MARGIN + cover["x"] * (_MAP_WIDTH - 2 * _MAP_MARGIN)),
            "y": round(_MAP_MARGIN + (1 - cover["y"]) * (_MAP_HEIGHT - 2 * _MAP_MARGIN)),
            "mark": cover["mark"],
            "colour": next(
                (place for place, genre in enumerate(coloured, 1) if genre in cover["genres"]), 0
            ),
            "classes": " ".join(
                [f"t{numbers[genre]}" for genre in cover["genres"]]
                + [f"d{numbers[genre]}" for genre in cover["decided"]]
            ),
            "words": f"{cover['path'] or cover['id']}: {listing(cover['genres']) or 'no genre'}; "
            f"decided {listing(cover['decided']) or 'none'}",
        }
        for cover in described["covers"]
    ]
    return {
        "width": _MAP_WIDTH,
        "height": _MAP_HEIGHT,
        "points": points,
        "coloured": coloured,
        "marks": {name: sum(point["mark"] == name for point in points) for name in MARKS},
    }


def _thresholds(described: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the counts at each threshold by column: the names of rows would be most of a page."""
    rows = described["thresholds"]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {"model_threshold": described["model_threshold"], **columns}


def _intervals(evaluation: Mapping[str, Any]) -> charts.Chart:
    bounds = {
        check["genre"]: check["bound"]
        for check in evaluation["checks"]
        if check["metric"] == "roc_auc" and check["kind"] == "at least"
    }
    baseline = (evaluation["baseline"] or {}).get("per_genre", {})
    rows = [
        {
            "genre": genre,
            "value": values.get("roc_auc"),
            "low": values.get("roc_auc_ci_low"),
            "high": values.get("roc_auc_ci_high"),
            "baseline": baseline.get(genre, {}).get("roc_auc"),
            "bound": bounds.get(genre),
        }
        for genre, values in evaluation["per_genre"].items()
    ]
    label = "ROC AUC of each genre with its confidence interval; the table has the numbers"
    return charts.intervals(rows, "ROC AUC", label)


def _curves(
    genre: str, described: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> dict[str, charts.Chart]:
    if "roc" not in described:
        return {}
    values = evaluation["per_genre"][genre]
    positives = values["true_positives"] + values["false_negatives"]
    share = positives / evaluation["example_count"]
    return {
        "precision_recall": charts.curve(
            _thinned(described["precision_recall"]),
            "Recall",
            "Precision",
            f"Precision against recall of {genre}, average precision "
            f"{_known(values['average_precision'])}; guessing gives {share:.3f}",
            guess=share,
        ),
        "roc": charts.curve(
            _thinned(described["roc"]),
            "False positive rate",
            "True positive rate",
            f"ROC curve of {genre}, area {_known(values['roc_auc'])}",
        ),
        "calibration": charts.calibration(
            described["calibration"],
            f"Calibration of {genre}: calibration error {_known(values['calibration_error'])}, "
            f"debiased {_known(values['debiased_calibration_error'])}, "
            f"Brier score {_known(values['brier_score'])}",
        ),
    }


def _thinned(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    last = len(points) - 1
    places = range(min(len(points), _DRAWN_POINTS))
    return [points[round(place * last / max(1, len(places) - 1))] for place in places]


def _known(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _matrices(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    together, decided = report["co_occurrence"], report["evaluation"]["confusion"]
    positives = [together[i][i] for i in range(len(together))]
    return [
        {
            "title": "Genres that occur together",
            "caption": "Test covers that have both genres; on the diagonal, all with the genre.",
            "rows_are": "has",
            "columns_are": "and has",
            "is_directed": False,
            "cells": _shaded(together, positives),
        },
        {
            "title": "True genre, predicted genre",
            "caption": "Of the test covers with the row's genre, how many the model decided have "
            "the column's. The diagonal is recall.",
            "rows_are": "has",
            "columns_are": "decided",
            "is_directed": True,
            "cells": _shaded(decided, positives),
        },
    ]


def _pairs(matrix: Mapping[str, Any], genres: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the pairs of different genres that hold most covers, for too many to be a matrix."""
    cells = [
        {"row": genres[i], "column": genres[j], **cell}
        for i, row in enumerate(matrix["cells"])
        for j, cell in enumerate(row)
        if cell["count"] and (i != j if matrix["is_directed"] else i < j)
    ]
    return sorted(cells, key=lambda cell: (-cell["count"], -(cell["share"] or 0.0)))[:_PAIRS]


def _shaded(counts: Sequence[Sequence[int]], totals: Sequence[int]) -> list[list[dict[str, Any]]]:
    """Returns count, share of the row's total and shade (0 to 10) of each cell."""
    return [
        [
            {
                "count": count,
                "share": count / total if total else None,
                "shade": round(_SHADES * min(1.0, count / total)) if total else 0,
            }
            for count in row
        ]
        for row, total in zip(counts, totals, strict=True)
    ]


def _training(training: Mapping[str, Any] | None) -> dict[str, charts.Chart]:
    history = training and training["history"]
    if not history or not history["epochs"]:
        return {}
    rows, chosen = history["epochs"], history.get("exported_epoch")
    loss = charts.training(
        rows,
        {"loss": "var(--second)", "val_loss": "var(--accent)"},
        "Loss",
        chosen,
        "Loss by epoch, on the train split and on the eval split",
    )
    auc = charts.training(
        rows,
        {"macro_roc_auc": "var(--second)", "val_macro_roc_auc": "var(--accent)"},
        "Macro ROC AUC",
        chosen,
        "Macro ROC AUC by epoch, on the train split and on the eval split",
    )
    return {"Loss": loss, "Macro ROC AUC": auc}


def _shares(summary: Mapping[str, Any] | None) -> charts.Chart | None:
    if not summary or not summary["examples"]:
        return None
    rows = [
        {"genre": genre, "split": split, "share": count / summary["examples_by_split"][split]}
        for split, counts in summary["genres_by_split"].items()
        if summary["examples_by_split"].get(split) and split in SPLIT_COLOURS
        for genre, count in counts.items()
    ]
    if not rows:
        return None
    return charts.shares(rows, SPLIT_COLOURS, "Share of each genre in the splits")
