"""From inspected rows to covers, their splits, and the shards to write."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from components.contracts.label_schema import DRIFT_SPLITS, NEWEST_SPAN_SPLIT, SPLITS
from components.contracts.quarantine import Contradiction, Placeholder, QuarantinedRow, Reason
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.contradictions import settle_labels
from components.cover_example_gen.examples import Cover
from components.cover_example_gen.groups import Arrival, Place, assign_places
from components.cover_example_gen.near_duplicates import NearDuplicates
from components.cover_example_gen.placeholders import find_placeholders, set_aside
from components.cover_example_gen.rows import InspectedRow, quarantined_row
from components.cover_example_gen.spans import Selection


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file to write: its covers in order."""

    split: str
    index: int
    count: int
    covers: tuple[Cover, ...]

    @property
    def file_name(self) -> str:
        """Its name, numbered as TFX numbers shards."""
        return f"covers-{self.index:05d}-of-{self.count:05d}.tfrecord"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What becomes of the rows.

    Attributes:
        covers: split -> its covers, ordered by identity. The drift splits hold the covers of
            the newest and of the previous span, if there is one.
        quarantined: the rejected rows, by source, line and path.
        united_labels: covers whose rows name different genres.
        contradictions: near-duplicates that name different genres.
        placeholders: pictures in place of many covers.
    """

    covers: Mapping[str, tuple[Cover, ...]]
    quarantined: tuple[QuarantinedRow, ...]
    united_labels: int
    contradictions: tuple[Contradiction, ...] = ()
    placeholders: tuple[Placeholder, ...] = ()

    def without_covers(self) -> Plan:
        """The rest of the plan, once its shards go their own way."""
        return dataclasses.replace(self, covers={})


def make_plan(rows: Iterable[InspectedRow], selection: Selection, config: IngestConfig) -> Plan:
    """Merges rows with the same image, assigns covers to splits and sets aside those without one.

    Covers are ordered by `image/id`, a hash: a random order that is the same for the same covers.

    Args:
        rows: all rows of the selected spans, inspected, in any order.
        selection: the spans.
        config: shares of the splits and number of threads.
    """
    ordered = sorted(rows, key=lambda row: (row.delivery, row.row.line or 0, row.row.path))
    taken = range(len(selection.history), len(selection.spans))
    arrivals = _arrivals(ordered)
    near = _near_duplicates(ordered, arrivals, config.threads)
    usable = [row for row in ordered if row.delivery in taken and not row.reason]
    placeholders = find_placeholders(usable, near)
    covers_proper = near.among(set(near.ids) - placeholders.keys()) if placeholders else near
    if placeholders and config.near_duplicates.placeholders == "quarantine":
        ordered = [set_aside(row, placeholders) for row in ordered]
        arrivals = [each for each in arrivals if each.image_id not in placeholders]
        near = covers_proper
    given = [row for row in ordered if row.delivery in taken]
    settled, contradictions = settle_labels(given, covers_proper, config.near_duplicates.labels)
    ordered = [row for row in ordered if row.delivery not in taken] + settled
    places = assign_places(arrivals, config.splits, config.threads, near.pairs)
    rejected: list[InspectedRow] = []
    accepted: list[InspectedRow] = []
    for row in ordered:
        checked = _placed(row, places)
        if row.delivery in taken:
            (rejected if checked.reason else accepted).append(checked)
    covers = list(_covers(accepted, places, selection))
    by_split: dict[str, list[Cover]] = {split: [] for split in SPLITS}
    for cover in covers:
        split = places[cover.facts.image_id].split
        assert split is not None
        by_split[split].append(cover)
    drift = _drift_covers(ordered, places, selection)
    return Plan(
        covers={split: tuple(members) for split, members in [*by_split.items(), *drift.items()]},
        quarantined=tuple(
            quarantined_row(row, selection.spans[row.delivery].source.folder) for row in rejected
        ),
        united_labels=_united_labels(given, {cover.facts.image_id for cover in covers}),
        contradictions=tuple(contradictions),
        placeholders=tuple(dict.fromkeys(placeholders.values())),
    )


def plan_shards(plan: Plan, config: IngestConfig) -> list[Shard]:
    """Cuts each split into shards; every split has at least one, even if it is empty."""
    shards: list[Shard] = []
    for split, members in plan.covers.items():
        count = config.shards or max(1, -(-len(members) // config.examples_per_shard))
        shards += [Shard(split, index, count, members[index::count]) for index in range(count)]
    return shards


def _arrivals(rows: Sequence[InspectedRow]) -> list[Arrival]:
    """Lists distinct covers by the delivery in which each first came."""
    first: dict[str, Arrival] = {}
    for row in rows:
        if row.facts:
            facts = row.facts
            first.setdefault(
                facts.image_id, Arrival(row.delivery, facts.image_id, facts.perceptual_hash)
            )
    return sorted(first.values(), key=lambda arrival: (arrival.delivery, arrival.image_id))


def _near_duplicates(
    rows: Sequence[InspectedRow], arrivals: Sequence[Arrival], workers: int
) -> NearDuplicates:
    facts = {row.facts.image_id: row.facts for row in rows if row.facts}
    ids = [arrival.image_id for arrival in arrivals]
    return NearDuplicates.find(
        ids,
        [facts[image_id].perceptual_hash for image_id in ids],
        [facts[image_id].thumbnail for image_id in ids],
        workers,
    )


def _placed(row: InspectedRow, places: Mapping[str, Place]) -> InspectedRow:
    if row.reason or not row.facts or places[row.facts.image_id].split:
        return row
    near = places[row.facts.image_id].conflict
    received = ", ".join(f"{image_id[:12]} ({split})" for split, image_id in near.items())
    return dataclasses.replace(
        row,
        reason=Reason.BETWEEN_SPLITS,
        detail="Expected the near-duplicates among earlier covers to be in one split. "
        f"Received: {received}.",
    )


def _covers(
    rows: Sequence[InspectedRow], places: Mapping[str, Place], selection: Selection
) -> Iterator[Cover]:
    """Yields one cover for each distinct image, ordered by identity."""
    by_image: dict[str, list[InspectedRow]] = defaultdict(list)
    for row in rows:
        assert row.facts is not None
        by_image[row.facts.image_id].append(row)
    for image_id, same in sorted(by_image.items()):
        assert same[0].facts is not None
        sources = [(selection.spans[row.delivery].source, row.file) for row in same]
        paths = {f"{source.folder}/{file}" if source.folder else file for source, file in sources}
        source, file = sources[0]
        yield Cover(
            facts=same[0].facts,
            group=places[image_id].group,
            genres=tuple(sorted({genre for row in same for genre in row.genres})),
            paths=tuple(sorted(paths)),
            rows=len(same),
            file=same[0].row.extracted or os.path.join(source.directory, file),  # noqa: PTH118
        )


def _drift_covers(
    rows: Sequence[InspectedRow], places: Mapping[str, Place], selection: Selection
) -> dict[str, list[Cover]]:
    if selection.previous is None:
        return {}
    newest = len(selection.spans) - 1
    covers: dict[str, list[Cover]] = {}
    for split in DRIFT_SPLITS:
        delivery = newest if split == NEWEST_SPAN_SPLIT else newest - 1
        usable = [row for row in rows if row.delivery == delivery and not row.reason]
        covers[split] = list(_covers(usable, places, selection))
    return covers


def _united_labels(given: Sequence[InspectedRow], covers: Collection[str]) -> int:
    genres: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for row in given:
        if row.facts and not row.reason and row.facts.image_id in covers:
            genres[row.facts.image_id].add(row.genres)
    return sum(len(given) > 1 for given in genres.values())
