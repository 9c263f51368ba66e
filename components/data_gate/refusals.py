"""Whether the data are fit to train on, and what to do where they are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.contracts.decisions import Decision, Refusal
from components.contracts.drift import distances
from components.contracts.files import ANOMALIES_FILE
from components.contracts.genre_names import listing
from components.contracts.label_schema import NEWEST_SPAN_SPLIT, SPLITS
from components.contracts.nodes import DATA_GATE
from components.contracts.quarantine import (
    FEWEST_GROUPS,
    STRADDLING_FILE_NAME,
    IngestSummary,
    Reason,
)
from components.data_gate.config import DataGateConfig
from components.support.texts import first_few

# Ingest has judged placeholders together, and they are warned of; a person has dropped covers.
_NO_FAULTS = (Reason.PLACEHOLDER.value, Reason.DROPPED.value)


def decide(
    summary: IngestSummary,
    anomalies: Mapping[str, anomalies_pb2.Anomalies],
    config: DataGateConfig,
    quarantine_file: str,
) -> Decision:
    """Decides whether the data are fit to train on.

    Args:
        summary: the row counts of the ingest.
        anomalies: split -> what ExampleValidator recorded.
        config: the limits.
        quarantine_file: where the quarantined rows are listed.
    """
    drift = tuple(_drift(summary, anomalies))
    stops = config.drift == "stops" and _can_drift_stop(summary, config)
    straddling = tuple(_straddling(summary, quarantine_file))
    straddling_stops = config.straddling == "stops"
    return Decision(
        gate=DATA_GATE,
        headline="The data were stopped at the gate",
        refusals=(
            *_unreadable_folders(summary),
            *_quarantined(summary, config, quarantine_file),
            *_empty_splits(summary),
            *_missing_genres(summary, config),
            *(straddling if straddling_stops else ()),
            *_anomalies({split: found for split, found in anomalies.items() if split in SPLITS}),
            *(drift if stops else ()),
        ),
        warnings=(
            *_placeholders(summary, quarantine_file),
            *_rare_genres(summary, config),
            *(() if straddling_stops else straddling),
            *(() if stops else drift),
        ),
    )


def describe_drift(summary: IngestSummary, anomalies: anomalies_pb2.Anomalies) -> str:
    """Returns how far the newest span is from the previous one, in one line.

    Args:
        summary: the row counts of the ingest.
        anomalies: what was recorded for the newest span.
    """
    high = set(anomalies.anomaly_info)
    listed = ", ".join(
        f"{feature} {distance:.2f}{' (too far)' if feature in high else ''}"
        for feature, distance in sorted(distances(anomalies).items())
    )
    return f"span {summary.spans[-1]} against {summary.previous_span}: {listed}"


def read_anomalies(directory: str | Path) -> anomalies_pb2.Anomalies:
    """Reads the anomalies of one split from an ExampleAnomalies artifact."""
    path = Path(directory) / ANOMALIES_FILE
    return anomalies_pb2.Anomalies.FromString(path.read_bytes())


def _quarantined(
    summary: IngestSummary, config: DataGateConfig, quarantine_file: str
) -> Iterator[Refusal]:
    faulty = summary.rows_quarantined - sum(
        summary.quarantined_by_reason.get(reason, 0) for reason in _NO_FAULTS
    )
    share = faulty / summary.rows_given
    if share <= config.max_quarantined_share:
        return
    reasons = ", ".join(
        f"{reason} {count}"
        for reason, count in summary.quarantined_by_reason.items()
        if reason not in _NO_FAULTS
    )
    where = f"rows of {summary.source}"
    yield Refusal(
        where,
        f"{where}: expected at most {config.max_quarantined_share:.1%} quarantined. Received: "
        f"{faulty} of {summary.rows_given} ({share:.1%}): {reasons}.",
        value=share,
        bound=config.max_quarantined_share,
        support=summary.rows_given,
        remedy=f"Fix or remove the rows listed in {quarantine_file}, or raise "
        "data_gate.max_quarantined_share.",
    )


def _unreadable_folders(summary: IngestSummary) -> Iterator[Refusal]:
    """Yields a refusal whatever the share: nobody knows how many covers are missing."""
    folders = summary.unreadable_folders
    if not folders:
        return
    where = f"folders of {summary.source}"
    yield Refusal(
        where,
        f"{where}: expected folders that can be listed. Received: {len(folders):,} that cannot, "
        f"{listing(folders)}, with an unknown number of covers.",
        value=float(len(folders)),
        bound=0.0,
        support=summary.rows_given,
        remedy="Make them readable (chmod -R u+rX FOLDER, or as their owner), or move them out of "
        "the data.",
    )


def _empty_splits(summary: IngestSummary) -> Iterator[Refusal]:
    empty = [split for split in SPLITS if not summary.examples_by_split.get(split)]
    if empty:
        where = f"splits of {summary.source}"
        yield Refusal(
            where,
            f"{where}: expected covers in each. Received: none in {', '.join(empty)}, of "
            f"{summary.examples} covers in all.",
            value=0.0,
            bound=1.0,
            support=summary.examples,
            remedy="Give covers for these splits."
            if summary.given_splits
            else f"Give more covers: at least {FEWEST_GROUPS} of one genre, not counting "
            "near-duplicates.",
        )


def _rare_genres(summary: IngestSummary, config: DataGateConfig) -> Iterator[Refusal]:
    """Yields a sentence on each genre that has too few groups to be in every split."""
    for genre, groups in summary.groups_by_genre.items():
        counts = {split: summary.genres_by_split[split][genre] for split in SPLITS}
        absent = [split for split, count in counts.items() if not count]
        if not 0 < groups < FEWEST_GROUPS or not absent:
            continue
        there = ", ".join(f"{count} in {split}" for split, count in counts.items() if count)
        where = f"genre '{genre}'"
        yield Refusal(
            where,
            f"{where}: {groups} cover{'' if groups == 1 else 's'}, not counting near-duplicates, "
            f"are too few for three splits: {there}. Nothing can be said about how well the model "
            f"recognises it, and with few test covers it does not decide the gate "
            "(evaluation.gate.min_support).",
            value=float(groups),
            bound=float(FEWEST_GROUPS),
            support=sum(counts.values()),
            remedy="Add covers of this genre, or remove it from the schema.",
        )


def _straddling(summary: IngestSummary, quarantine_file: str) -> Iterator[Refusal]:
    pairs = sum(summary.straddling.values())
    if not pairs:
        return
    listed = ", ".join(f"{count} across {splits}" for splits, count in summary.straddling.items())
    where = "splits given by the data"
    yield Refusal(
        where,
        f"{where}: expected near-duplicates to share a split. Received: {pairs} "
        f"pair{'' if pairs == 1 else 's'} that do not: {listed}. Such covers make the model look "
        "better than it is.",
        value=float(pairs),
        bound=0.0,
        support=summary.examples,
        remedy=f"They are listed in {STRADDLING_FILE_NAME}, beside {quarantine_file}. Remove them "
        "from one of the splits, let the splits be drawn (ingest.columns.split: false), or make "
        "them stop the run with data_gate.straddling=stops.",
    )


def _placeholders(summary: IngestSummary, quarantine_file: str) -> Iterator[Refusal]:
    for found in summary.placeholders:
        picture = "a picture without anything to see" if found.flat else "one picture"
        set_aside = Reason.PLACEHOLDER.value in summary.quarantined_by_reason
        yield Refusal(
            found.path,
            f"{found.path}: expected a cover. Received: {picture} in {found.rows:,} rows "
            f"({found.share:.1%}) with {found.label_sets} different sets of genres, probably a "
            f"placeholder. They were {'set aside' if set_aside else 'kept'}.",
            value=found.share,
            support=found.rows,
            remedy=f"Replace the pictures; the rows are in {quarantine_file}. If they are covers, "
            "choose ingest.near_duplicates.placeholders=keep."
            if set_aside
            else "Replace the pictures, or choose ingest.near_duplicates.placeholders=quarantine.",
        )


def _missing_genres(summary: IngestSummary, config: DataGateConfig) -> Iterator[Refusal]:
    remedy = "Add more covers of these genres, or remove the genres from the schema."
    absent = [
        genre
        for genre in next(iter(summary.genres_by_split.values()), {})
        if not any(counts[genre] for counts in summary.genres_by_split.values())
    ]
    if absent and config.min_examples_per_genre:
        yield Refusal(
            "genres of the schema",
            f"genres of the schema: expected examples of each. Received: none of "
            f"{listing(absent)}.",
            value=0.0,
            bound=float(config.min_examples_per_genre),
            support=summary.examples,
            remedy=remedy,
        )
    for split, counts in summary.genres_by_split.items():
        scarce = {
            genre: count
            for genre, count in counts.items()
            if count < config.min_examples_per_genre
            and genre not in absent
            and not _is_rare(summary, genre)
            and summary.examples_by_split[split]
        }
        if scarce:
            listed = first_few([f"{genre} {count}" for genre, count in scarce.items()])
            examples = summary.examples_by_split[split]
            yield Refusal(
                f"split '{split}'",
                f"split '{split}': expected at least {config.min_examples_per_genre} examples of "
                f"each genre among {examples}. Received: {listed}.",
                value=float(min(scarce.values())),
                bound=float(config.min_examples_per_genre),
                support=examples,
                remedy=remedy,
            )


def _is_rare(summary: IngestSummary, genre: str) -> bool:
    return 0 < summary.groups_by_genre.get(genre, FEWEST_GROUPS) < FEWEST_GROUPS


def _can_drift_stop(summary: IngestSummary, config: DataGateConfig) -> bool:
    return min(summary.drift_examples, default=0) >= config.min_drift_examples


def _drift(
    summary: IngestSummary, anomalies: Mapping[str, anomalies_pb2.Anomalies]
) -> Iterator[Refusal]:
    found = anomalies.get(NEWEST_SPAN_SPLIT)
    if found is None:
        return
    measured = {
        ".".join(info.path.step): max(info.drift_measurements, key=lambda each: each.value)
        for info in found.drift_skew_info
        if info.drift_measurements
    }
    for feature, info in sorted(found.anomaly_info.items()):
        distance = measured.get(feature)
        where = f"feature '{feature}', span {summary.spans[-1]} against span "
        where += str(summary.previous_span)
        yield Refusal(
            where,
            f"{where}: {info.short_description}: {info.description}",
            value=None if distance is None else distance.value,
            bound=None if distance is None else distance.threshold,
            support=min(summary.drift_examples, default=None),
            remedy=f"Look at the new covers. If they are right, raise the drift_comparator of "
            f"'{feature}' in the schema, or let this run pass with data_gate.drift=reported.",
        )


def _anomalies(anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> Iterator[Refusal]:
    for split, recorded in anomalies.items():
        if recorded.HasField("dataset_anomaly_info"):
            info = recorded.dataset_anomaly_info
            yield Refusal(
                f"split '{split}'",
                f"split '{split}': {info.short_description or 'data set anomaly'}: "
                f"{info.description}",
                remedy="Check the number of covers given.",
            )
        for feature, info in sorted(recorded.anomaly_info.items()):
            where = f"feature '{feature}', split '{split}'"
            yield Refusal(
                where,
                f"{where}: {info.short_description}: {info.description}",
                remedy=f"Fix the data, or edit '{feature}' in the schema if the data are right.",
            )
