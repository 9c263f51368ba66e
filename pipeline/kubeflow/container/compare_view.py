"""What the user interface compares runs by: metrics, curves and confusions, from the report.

The numbers are metadata of artifacts that `covers compile` adds to ReportGen, in the form of kfp's
`Metrics` and `ClassificationMetrics` (kfp/dsl/types/artifact_types.py). All are read from
`report.json`, so that the report and the interface cannot differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contracts import nodes
from components.contracts.files import REPORT_DATA
from components.contracts.metrics import COMPARED, COMPARED_PER_GENRE

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

METRICS = "metrics"
ALL_GENRES = "all_genres"

# Each is an artifact of every run, and a page of its own in the comparison.
_MOST_GENRES = 50

Json = Mapping[str, Any]


def genre_outputs(genres: Sequence[str]) -> dict[str, str]:
    """Returns genre -> key of the output that shows it; empty if there are too many to show.

    A key has lower-case letters, digits and underscores alone.
    """
    if len(genres) > _MOST_GENRES:
        return {}
    keys: dict[str, str] = {}
    for place, genre in enumerate(genres, start=1):
        name = re.sub(r"[^a-z0-9]+", "_", genre.lower()).strip("_")
        key = f"genre_{name}" if name else f"genre_{place}"
        while key in keys.values():
            key += f"_{place}"
        keys[genre] = key
    return keys


def compare_view(outputs: Mapping[str, list[Artifact]]) -> dict[str, dict[str, Any]]:
    """Returns output -> its metadata; empty for a task that made no report.

    Args:
        outputs: what the executor left.
    """
    if not outputs.get(nodes.REPORT):
        return {}
    path = Path(outputs[nodes.REPORT][0].uri) / REPORT_DATA
    return describe_report(json.loads(path.read_text(encoding="utf-8")))


def describe_report(report: Json) -> dict[str, dict[str, Any]]:
    """Returns output -> its metadata, from the content of `report.json`.

    A metric that is undefined is left out: the back end cannot store null.
    """
    evaluation = report["evaluation"]
    if not evaluation:
        return {}
    genres = evaluation["genres"]
    shown: dict[str, dict[str, Any]] = {
        METRICS: _metrics(evaluation),
        ALL_GENRES: {"confusionMatrix": _confusion(genres, evaluation["confusion"])},
    }
    curves = report["genres"] or {}
    for genre, key in genre_outputs(genres).items():
        if genre in curves:
            shown[key] = _genre(genre, curves[genre])
    return shown


def _metrics(evaluation: Json) -> dict[str, float]:
    values = {name: evaluation["overall"].get(name) for name in COMPARED}
    for name in COMPARED_PER_GENRE:
        for genre in evaluation["genres"]:
            values[f"{name} of {genre}"] = evaluation["per_genre"][genre].get(name)
    return {name: value for name, value in values.items() if value is not None}


def _genre(genre: str, described: Json) -> dict[str, Any]:
    rows = described["thresholds"]
    model = next(row for row in rows if row["threshold"] == described["model_threshold"])
    matrix = [
        [model["true_positives"], model["false_negatives"]],
        [model["false_positives"], model["true_negatives"]],
    ]
    shown: dict[str, Any] = {"confusionMatrix": _confusion([genre, f"not {genre}"], matrix)}
    with_genre, without = sum(matrix[0]), sum(matrix[1])
    if with_genre and without:
        # The interface draws the points in this order, from the lower left.
        shown["confidenceMetrics"] = [
            {
                "confidenceThreshold": row["threshold"],
                "recall": row["true_positives"] / with_genre,
                "falsePositiveRate": row["false_positives"] / without,
            }
            for row in reversed(rows)
        ]
    return shown


def _confusion(categories: Sequence[str], matrix: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {
        "annotationSpecs": [{"displayName": category} for category in categories],
        "rows": [{"row": list(row)} for row in matrix],
    }
