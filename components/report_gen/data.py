"""The data of a run: the row counts, the quarantine, statistics and anomalies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.contracts.files import ANOMALIES_FILE, STATISTICS_FILE, files_by_split
from components.contracts.label_schema import FEATURE_KEYS, GENRES, SPLITS
from components.contracts.quarantine import read_contradictions, read_quarantine, read_summary
from components.report_gen.sources import Sources

_LISTED_ROWS_A_REASON = 20
_LISTED_CONTRADICTIONS = 20
_TOP_VALUES = 3


def describe_data(sources: Sources) -> dict[str, Any]:
    """Returns what is known about the data, ready for JSON; a part that is missing is None.

    Returns:
        `summary`, an `IngestSummary`; `quarantine`, reason -> number of `rows` and the first
        of them; `contradictions`, the number of `pairs` of near-duplicates that name different
        genres and the first of them; `statistics`, split -> features; `anomalies`, a list with
        split, feature and description; `drift`, a list with feature, distance and threshold.
    """
    return {
        "summary": _summary(sources.quarantine),
        "quarantine": _quarantine(sources.quarantine),
        "contradictions": _contradictions(sources.quarantine),
        "statistics": _statistics(sources.statistics),
        "anomalies": _anomalies(sources.anomalies),
        "drift": _drift(sources.anomalies),
    }


def _summary(folder: Path | None) -> dict[str, Any] | None:
    if folder is None:
        return None
    summary = read_summary(folder)
    return dataclasses.asdict(summary) | {"rows_merged": summary.rows_merged}


def _quarantine(folder: Path | None) -> dict[str, Any] | None:
    if folder is None:
        return None
    reasons: dict[str, Any] = {}
    for row in read_quarantine(folder):
        listed = reasons.setdefault(row.reason, {"rows": 0, "first": []})
        listed["rows"] += 1
        if len(listed["first"]) < _LISTED_ROWS_A_REASON:
            listed["first"].append(dataclasses.asdict(row))
    return dict(sorted(reasons.items(), key=lambda item: -item[1]["rows"]))


def _contradictions(folder: Path | None) -> dict[str, Any] | None:
    if folder is None:
        return None
    pairs = read_contradictions(folder)
    return {
        "pairs": len(pairs),
        "first": [dataclasses.asdict(pair) for pair in pairs[:_LISTED_CONTRADICTIONS]],
    }


def _statistics(folder: Path | None) -> dict[str, Any] | None:
    if folder is None:
        return None
    from tensorflow_metadata.proto.v0 import statistics_pb2

    splits: dict[str, Any] = {}
    files = files_by_split(folder, STATISTICS_FILE)
    for split, path in sorted(files.items(), key=_split_place):
        message = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        for dataset in message.datasets:
            features = [_feature(feature) for feature in dataset.features]
            features.sort(key=lambda feature: _place(feature["name"]))
            splits[split] = {"examples": int(dataset.num_examples), "features": features}
    return splits


def _feature(feature: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"name": feature.name or "/".join(feature.path.step)}
    if feature.HasField("num_stats"):
        numbers = feature.num_stats
        described |= {
            "missing": int(numbers.common_stats.num_missing),
            "mean": _finite(numbers.mean),
            "standard_deviation": _finite(numbers.std_dev),
            "min": _finite(numbers.min),
            "max": _finite(numbers.max),
        }
    else:
        strings = getattr(feature, feature.WhichOneof("stats") or "string_stats")
        described["missing"] = int(strings.common_stats.num_missing)
        if feature.HasField("string_stats"):
            described["distinct"] = int(strings.unique)
            described["top_values"] = [
                {"value": top.value, "count": int(top.frequency)}
                for top in list(strings.top_values)[: _top(described["name"])]
            ]
    return described


def _top(name: str) -> int:
    return 100 if name == GENRES else _TOP_VALUES


def _place(name: str) -> int:
    return FEATURE_KEYS.index(name) if name in FEATURE_KEYS else len(FEATURE_KEYS)


def _anomalies(folder: Path | None) -> list[dict[str, Any]] | None:
    if folder is None:
        return None
    found: list[dict[str, Any]] = []
    for split, message in _anomaly_messages(folder):
        infos = [(None, message.dataset_anomaly_info)] * message.HasField("dataset_anomaly_info")
        infos += sorted(message.anomaly_info.items())
        found += [
            {
                "split": split,
                "feature": feature,
                "title": info.short_description,
                "description": info.description,
            }
            for feature, info in infos
        ]
    return found


def _anomaly_messages(folder: Path | None) -> Iterator[tuple[str, Any]]:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    files = files_by_split(folder, ANOMALIES_FILE) if folder else {}
    for split, path in files.items():
        yield split, anomalies_pb2.Anomalies.FromString(path.read_bytes())


def _drift(folder: Path | None) -> list[dict[str, Any]]:
    """Returns how far each feature of the newest span is from the previous one's."""
    found: list[dict[str, Any]] = []
    for split, message in _anomaly_messages(folder):
        for skew in message.drift_skew_info:
            name = ".".join(skew.path.step)
            found += [
                {
                    "split": split,
                    "feature": name,
                    "distance": measured.value,
                    "threshold": measured.threshold or None,
                    "too_far": name in message.anomaly_info,
                }
                for measured in skew.drift_measurements
            ]
    return found


def _split_place(file: tuple[str, Path]) -> tuple[int, str]:
    split, _ = file
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
