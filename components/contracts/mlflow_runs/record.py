"""What MLflow is told of a run: parameters, metrics, curves and tags, all from `report.json`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.contracts.flat_options import flat_options
from components.support.texts import shortened

Json = Mapping[str, Any]

IDENTITY_TAG = "covers.identity"
"""Holds what `identity` returns."""

# What changes no number of a run.
_NOT_OF_THE_RESULT = ("name", "data", "kubeflow", "metadata", "mlflow", "notifications")
_LONGEST_VALUE = 400  # servers before MLflow 2.8 take 500 characters
_LONGEST_NAME = 200
_EVAL = "val_"
_NO_METRICS = ("epoch",)


def identity(report: Json) -> str:
    """Returns a hash of all that a run found and how it was made.

    A run that takes everything from the cache, or a report that is copied, has that of the first;
    a model that is trained again has another.
    """
    provenance, training = report["provenance"], report["training"]
    known = {
        "pipeline": provenance["pipeline"],
        "parameters": parameters(report),
        "recipe": provenance.get("recipe"),
        "evaluation": report["evaluation"],
        "history": training and training["history"],
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def parameters(report: Json) -> dict[str, str]:
    """Returns the options, as the tuner names them, with data, label schema and versions."""
    provenance = report["provenance"]
    found: dict[str, str] = {}
    for section, value in provenance["config"].items():
        if section not in _NOT_OF_THE_RESULT:
            found |= dict(flat_options(section, value, ".{}"))
    found["data"] = provenance["data"]
    found["fingerprint of the data"] = provenance["data_fingerprint"]
    found["fingerprint of the label schema"] = provenance["schema_sha256"] or ""
    found |= {f"version of {name}": text for name, text in provenance["versions"].items()}
    named: dict[str, str] = {}
    for name, text in found.items():
        named[_distinct(_name(name, r"[^\w.\- ]"), named)] = shortened(text, _LONGEST_VALUE) or '""'
    return named


def metrics(report: Json) -> dict[str, float]:
    """Returns the metrics of the test split: overall ones, and `metric/genre` of each genre."""
    evaluation = report["evaluation"]
    found = {name: value for name, value in evaluation["overall"].items() if value is not None}
    shown: dict[str, str] = {}
    for genre in evaluation["genres"]:
        shown[_distinct(_name(genre, r"[^\w\- ]"), shown)] = genre
    for name, genre in shown.items():
        for metric, value in evaluation["per_genre"][genre].items():
            if value is not None:
                found[f"{metric}/{name}"] = value
    return found


def curves(report: Json) -> Iterator[tuple[str, float, int]]:
    """Yields name, value and epoch of each metric of the training, `train/...` or `eval/...`."""
    history = (report["training"] or {}).get("history") or {}
    for row in history.get("epochs", ()):
        for name, value in row.items():
            if name not in _NO_METRICS and value is not None:
                split = "eval" if name.startswith(_EVAL) else "train"
                yield f"{split}/{name.removeprefix(_EVAL)}", float(value), int(row["epoch"])


def tags(report: Json, run_id: str) -> dict[str, str]:
    """Returns how the run ended, and what it is called."""
    verdict, provenance = report["verdict"], report["provenance"]
    run_id = run_id or provenance["run_id"]
    found = {
        IDENTITY_TAG: identity(report),
        "covers.run_id": run_id,
        "covers.pipeline": provenance["pipeline"],
        "covers.outcome": verdict["outcome"],
        "covers.recipe": provenance.get("recipe") or "",
        "mlflow.runName": run_id or report["created"],
        "mlflow.note.content": f"{verdict['headline']}. {verdict['summary']}",
    }
    return {name: shortened(text, _LONGEST_VALUE) for name, text in found.items() if text}


def _name(text: str, forbidden: str) -> str:
    return re.sub(forbidden, "_", text)[:_LONGEST_NAME] or "_"


def _distinct(name: str, others: Mapping[str, str]) -> str:
    while name in others:
        name += "_"
    return name
