"""What speaks against training on the data, each finding with what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.contracts.label_schema import NEWEST_SPAN_SPLIT, SPLITS
from components.contracts.quarantine import IngestSummary
from components.data_gate.config import DataGateConfig

ANOMALIES_FILE_NAME = "SchemaDiff.pb"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One reason to stop.

    Attributes:
        what: where, what was expected and what was received.
        remedy: what to do.
    """

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}\n    {self.remedy}"


def find_problems(
    summary: IngestSummary,
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    config: DataGateConfig,
    quarantine_file: Path,
) -> list[Finding]:
    """Lists what stops the run; an empty list lets it pass.

    Args:
        summary: the account of the ingest.
        anomalies: split -> what ExampleValidator recorded.
        config: the limits.
        quarantine_file: where the quarantined rows are listed.
    """
    return [
        *_quarantined(summary, config, quarantine_file),
        *_missing_genres(summary, config),
        *_anomalies({split: found for split, found in anomalies.items() if split in SPLITS}),
        *_drift(summary, anomalies, config),
    ]


def describe_drift(summary: IngestSummary, anomalies: anomalies_pb2.Anomalies) -> str:
    """Returns how far the newest span is from the previous one, in one line.

    Args:
        summary: the account of the ingest.
        anomalies: what was recorded of the newest span.
    """
    distances = {
        ".".join(info.path.step): max(measured.value for measured in info.drift_measurements)
        for info in anomalies.drift_skew_info
        if info.drift_measurements
    }
    high = set(anomalies.anomaly_info)
    listed = ", ".join(
        f"{feature} {distance:.2f}{' (too far)' if feature in high else ''}"
        for feature, distance in sorted(distances.items())
    )
    return f"span {summary.spans[-1]} against {summary.previous_span}: {listed}"


def read_anomalies(directory: str | Path) -> anomalies_pb2.Anomalies:
    """Reads the anomalies of one split from an ExampleAnomalies artifact."""
    path = Path(directory) / ANOMALIES_FILE_NAME
    return anomalies_pb2.Anomalies.FromString(path.read_bytes())


def _quarantined(
    summary: IngestSummary, config: DataGateConfig, quarantine_file: Path
) -> Iterator[Finding]:
    share = summary.rows_quarantined / summary.rows_given
    if share <= config.max_quarantined_share:
        return
    reasons = ", ".join(
        f"{reason} {count}" for reason, count in summary.quarantined_by_reason.items()
    )
    yield Finding(
        f"rows of {summary.source}: expected at most {config.max_quarantined_share:.1%} "
        f"quarantined. Received: {summary.rows_quarantined} of {summary.rows_given} ({share:.1%}): "
        f"{reasons}.",
        f"Mend or remove the rows listed in {quarantine_file}, or raise "
        "data_gate.max_quarantined_share.",
    )


def _missing_genres(summary: IngestSummary, config: DataGateConfig) -> Iterator[Finding]:
    remedy = "Give more covers of these genres, or remove the genre from the schema."
    absent = [
        genre
        for genre in next(iter(summary.genres_by_split.values()), {})
        if not any(counts[genre] for counts in summary.genres_by_split.values())
    ]
    if absent and config.min_examples_per_genre:
        yield Finding(
            f"genres of the schema: expected examples of each. Received: none of "
            f"{', '.join(absent)}.",
            remedy,
        )
    for split, counts in summary.genres_by_split.items():
        scarce = {
            genre: count
            for genre, count in counts.items()
            if count < config.min_examples_per_genre and genre not in absent
        }
        if scarce:
            listed = ", ".join(f"{genre} {count}" for genre, count in scarce.items())
            yield Finding(
                f"split '{split}': expected at least {config.min_examples_per_genre} examples of "
                f"each genre among {summary.examples_by_split[split]}. Received: {listed}.",
                remedy,
            )


def _drift(
    summary: IngestSummary,
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    config: DataGateConfig,
) -> Iterator[Finding]:
    found = anomalies.get(NEWEST_SPAN_SPLIT)
    enough = min(summary.drift_examples, default=0) >= config.min_drift_examples
    if found is None or not enough or config.drift != "stops":
        return
    for feature, info in sorted(found.anomaly_info.items()):
        yield Finding(
            f"feature '{feature}', span {summary.spans[-1]} against span {summary.previous_span}: "
            f"{info.short_description}: {info.description}",
            f"Look at the new covers. If they are right, raise the drift_comparator of '{feature}' "
            "in the schema, or let this run pass with data_gate.drift=reported.",
        )


def _anomalies(anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> Iterator[Finding]:
    for split, recorded in anomalies.items():
        if recorded.HasField("dataset_anomaly_info"):
            info = recorded.dataset_anomaly_info
            yield Finding(
                f"split '{split}': {info.short_description or 'data set anomaly'}: "
                f"{info.description}",
                "Check the number of covers given.",
            )
        for feature, info in sorted(recorded.anomaly_info.items()):
            yield Finding(
                f"feature '{feature}', split '{split}': {info.short_description}: "
                f"{info.description}",
                f"Mend the data, or edit '{feature}' in the schema if the data are right.",
            )
