"""What speaks against training on the data, each finding with what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.data_gate.config import DataGateConfig
from components.quarantine import IngestSummary

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
        *_anomalies(anomalies),
    ]


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
    for split, counts in summary.genres_by_split.items():
        scarce = {g: n for g, n in counts.items() if n < config.min_examples_per_genre}
        if scarce:
            listed = ", ".join(f"{genre} {count}" for genre, count in scarce.items())
            yield Finding(
                f"split '{split}': expected at least {config.min_examples_per_genre} examples of "
                f"each genre among {summary.examples_by_split[split]}. Received: {listed}.",
                "Give more covers of these genres, or remove the genre from the schema.",
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
