"""The model card: what a pushed model is for, how good it is and where it fails.

Field names are those of the Model Card Toolkit's schema (Mitchell et al., "Model Cards for Model
Reporting", 2019). It lies in the model's folder, and so travels with the model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.contracts.evaluation_record import Evaluation
from components.contracts.genre_names import listing
from components.contracts.metrics import CI_HIGH, CI_LOW, OVERALL_METRICS, PER_GENRE_METRICS
from components.contracts.quarantine import IngestSummary
from components.contracts.signatures import ModelDescription

MODEL_CARD_FILE = "assets.extra/model_card.json"

_USE_CASES = (
    "Suggest genres for album covers in a catalogue, for a person to confirm.",
    "Sort or search covers by how much they look like a genre.",
)
_LIMITATIONS = (
    "It sees only the cover, and many covers do not show their genre.",
    "It knows only the genres listed here; a cover of another genre gets one of these or none.",
    "Genre conventions change: it knows those of the covers it was trained on.",
)


def make_model_card(
    description: ModelDescription, evaluation: Evaluation, summary: IngestSummary | None
) -> dict[str, Any]:
    """Returns the card, ready for JSON.

    Args:
        description: the description in the model's folder.
        evaluation: its evaluation on the test split.
        summary: the row counts of its data; None if they are unknown.
    """
    genres = listing(description.genres)
    side = description.image_size
    thresholds = zip(description.genres, description.thresholds, strict=True)
    weakest = _weakest(evaluation)
    limitations = [*_LIMITATIONS, *([weakest] if weakest else [])]
    limitations += [check.sentence() for check in evaluation.warnings]
    return {
        "model_details": {
            "name": "covers",
            "overview": f"Tells which of the genres {genres} an album cover belongs to: none, "
            "one or several.",
            "version": {"name": description.recipe},
            "frameworks": dict(description.versions),
        },
        "model_parameters": {
            "model_architecture": "Keras convolutional network with one sigmoid output per genre",
            "input_format": f"Bytes of a JPEG or PNG file; decoded and resized to {side} x {side} "
            "pixels by the model.",
            "output_format": "A probability for each genre, and a decision: whether the "
            "probability reaches the genre's threshold ("
            + ", ".join(f"{genre} {threshold:.2f}" for genre, threshold in thresholds)
            + ").",
            "genres": list(description.genres),
            "thresholds": list(description.thresholds),
            "data": [_data(summary)] if summary else [],
        },
        "quantitative_analysis": {"performance_metrics": list(_metrics(evaluation))},
        "considerations": {
            "users": [{"description": "Catalogue and editorial staff of a music service."}],
            "use_cases": [{"description": text} for text in _USE_CASES],
            "limitations": [{"description": text} for text in limitations],
            "tradeoffs": [
                {
                    "description": "A lower threshold finds more covers of a genre and is wrong "
                    "more often; the report's threshold explorer shows how much."
                }
            ],
            "ethical_considerations": [
                {
                    "name": "Covers that break the conventions of their genre are misjudged more "
                    "often, which can keep unusual artists out of sight",
                    "mitigation_strategy": "do not rank or remove music by these predictions "
                    "alone; let artists and editors correct them.",
                }
            ],
        },
    }


def write_model_card(model_dir: Path, card: Mapping[str, Any]) -> None:
    """Writes the card to its place below a model's folder."""
    path = model_dir / MODEL_CARD_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _data(summary: IngestSummary) -> dict[str, Any]:
    return {
        "name": summary.source,
        "description": f"{summary.examples} distinct album covers; near-duplicates share a split.",
        "examples_by_split": summary.examples_by_split,
        "genres_by_split": summary.genres_by_split,
    }


def _metrics(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for name in OVERALL_METRICS:
        yield from _metric(name, evaluation.overall, None)
    for genre, values in evaluation.per_genre.items():
        for name in PER_GENRE_METRICS:
            yield from _metric(name, values, genre)


def _metric(name: str, values: Mapping[str, float], genre: str | None) -> Iterator[dict[str, Any]]:
    value = values.get(name, math.nan)
    if math.isnan(value):
        return
    metric: dict[str, Any] = {"type": name, "value": value}
    if genre is not None:
        metric["slice"] = genre
    low, high = (values.get(name + end, math.nan) for end in (CI_LOW, CI_HIGH))
    if not math.isnan(low):
        metric["confidence_interval"] = {"lower_bound": low, "upper_bound": high}
    yield metric


def _weakest(evaluation: Evaluation) -> str | None:
    known = {
        genre: values["roc_auc"]
        for genre, values in evaluation.per_genre.items()
        if not math.isnan(values.get("roc_auc", math.nan))
    }
    if not known:
        return None
    genre = min(known, key=lambda name: known[name])
    return f"It is weakest at {genre}: ROC AUC {known[genre]:.3f} on the test covers."
