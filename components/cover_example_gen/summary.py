"""The account of an ingest: what was written and what was set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from components.contracts.label_schema import DRIFT_SPLITS, SPLITS, LabelSchema
from components.contracts.quarantine import (
    IngestSummary,
    QuarantinedRow,
    Reason,
    count_reasons,
)
from components.cover_example_gen.conversion import CONVERTIBLE_FORMATS
from components.cover_example_gen.plan import Plan
from components.cover_example_gen.shards import ShardReport
from components.cover_example_gen.spans import Selection


def summarise(
    selection: Selection,
    rows_given: int,
    plan: Plan,
    reports: Sequence[ShardReport],
    schema: LabelSchema,
    unlisted: Sequence[QuarantinedRow],
    clutter: Iterable[Mapping[str, int]],
) -> IngestSummary:
    """Adds up what was written and what was set aside."""
    examples: Counter[str] = Counter()
    group_sizes: Counter[str] = Counter()
    genres: dict[str, dict[str, int]] = {split: dict.fromkeys(schema.genres, 0) for split in SPLITS}
    for report in reports:
        examples[report.written.split] += report.written.examples
    written = [report for report in reports if report.written.split in SPLITS]
    for report in written:
        group_sizes.update(report.group_sizes)
        for genre, number in report.genres.items():
            genres[report.written.split][genre] += number
    duplicates = [size for size in group_sizes.values() if size > 1]
    numbers = tuple(span.number for span in selection.taken if span.number is not None)
    previous = selection.previous
    conversions = _added(report.converted for report in written)
    foreign = CONVERTIBLE_FORMATS
    return IngestSummary(
        source=", ".join(span.source.name for span in selection.taken),
        rows_given=rows_given,
        rows_ingested=sum(report.rows for report in written),
        rows_quarantined=len(plan.quarantined),
        quarantined_by_reason=count_reasons(plan.quarantined),
        examples=sum(examples[split] for split in SPLITS),
        examples_by_split={split: examples[split] for split in SPLITS},
        near_duplicate_groups=len(duplicates),
        near_duplicates=sum(duplicates),
        genres_by_split=genres,
        spans=numbers,
        previous_span=previous.number if previous else None,
        drift_examples=tuple(examples[split] for split in DRIFT_SPLITS) if previous else (),
        united_labels=plan.united_labels,
        relabelled=plan.relabelled,
        converted={kind: count for kind, count in conversions.items() if kind in foreign},
        corrected={kind: count for kind, count in conversions.items() if kind not in foreign},
        imperfect=sum(report.imperfect for report in written),
        contradicting_pairs=dict(Counter(pair.outcome for pair in plan.contradictions)),
        placeholders=plan.placeholders,
        without_genre=sum(report.without_genre for report in written),
        unreadable_folders=tuple(
            row.path for row in plan.quarantined if row.reason == Reason.UNREADABLE_FOLDER.value
        ),
        unlisted_files=len(unlisted),
        clutter=_added(clutter),
        given_splits=plan.given_splits,
        drawn_from_train=plan.drawn_from_train,
        straddling=_straddling(plan),
        groups_by_genre=dict(plan.groups_by_genre),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())


def _straddling(plan: Plan) -> dict[str, int]:
    ordered = [sorted(pair.splits, key=SPLITS.index) for pair in plan.straddling]
    return dict(Counter(" and ".join(splits) for splits in ordered).most_common())
