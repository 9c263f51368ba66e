"""From inspected rows to covers, their splits, and the shards to write."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from components.contracts.label_schema import DRIFT_SPLITS, NEWEST_SPAN_SPLIT, SPLITS
from components.contracts.quarantine import (
    Contradiction,
    Placeholder,
    QuarantinedRow,
    Reason,
    StraddlingPair,
)
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.contradictions import settle_labels
from components.cover_example_gen.examples import Cover
from components.cover_example_gen.groups import Arrival, Place, Places, find_places
from components.cover_example_gen.near_duplicates import NearDuplicates, Pairs
from components.cover_example_gen.placeholders import find_placeholders, set_aside
from components.cover_example_gen.relabelling import find_relabelling
from components.cover_example_gen.rows import InspectedRow, quarantined_row
from components.cover_example_gen.slice_values import united_values
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
        relabelled: covers whose genres a person's decisions changed.
        given_splits: whether the data give the splits.
        drawn_from_train: the splits that the data lack, which were drawn from train.
        straddling: near-duplicates in different splits.
        groups_by_genre: genre -> number of near-duplicate groups that have it.
        contradictions: near-duplicates that name different genres.
        placeholders: pictures in place of many covers.
    """

    covers: Mapping[str, tuple[Cover, ...]]
    quarantined: tuple[QuarantinedRow, ...]
    united_labels: int
    relabelled: int = 0
    given_splits: bool = False
    drawn_from_train: tuple[str, ...] = ()
    straddling: tuple[StraddlingPair, ...] = ()
    groups_by_genre: Mapping[str, int] = dataclasses.field(default_factory=dict)
    contradictions: tuple[Contradiction, ...] = ()
    placeholders: tuple[Placeholder, ...] = ()

    def without_covers(self) -> Plan:
        """The rest of the plan, once its shards go their own way."""
        return dataclasses.replace(self, covers={})


def make_plan(
    rows: Iterable[InspectedRow],
    selection: Selection,
    config: IngestConfig,
    pairs: Pairs | None = None,
) -> Plan:
    """Merges rows with the same image, assigns covers to splits and sets aside those without one.

    Covers are ordered by `image/id`, a hash: a random order that is the same for the same covers.

    Args:
        rows: all rows of the selected spans, inspected, in any order.
        selection: the spans.
        config: shares of the splits, number of threads and decisions about labels.
        pairs: the near-duplicates among distinct covers in order of arrival, if they are known.

    Raises:
        ConfigError: a decision about labels cannot be followed.
    """
    ordered = sorted(rows, key=lambda row: (row.delivery, row.row.line or 0, row.row.path))
    relabelling = find_relabelling(ordered, selection, config)
    taken = range(len(selection.history), len(selection.spans))
    arrivals = _arrivals(ordered)
    near = _near_duplicates(ordered, arrivals, config.threads, pairs)
    usable = [row for row in ordered if row.delivery in taken and not row.reason]
    placeholders = find_placeholders(usable, near)
    covers_proper = near.among(set(near.ids) - placeholders.keys()) if placeholders else near
    if placeholders and config.near_duplicates.placeholders == "quarantine":
        ordered = [set_aside(row, placeholders) for row in ordered]
        arrivals = [each for each in arrivals if each.image_id not in placeholders]
        near = covers_proper
    # Places follow from the genres as given: those that a later span brings must move nothing.
    found = find_places(arrivals, config.splits, config.threads, near.pairs)
    places = found.by_id
    given = [row for row in ordered if row.delivery in taken]
    # Once before, so that no wrong label is merged into a copy, and once after, so that merging
    # restores none.
    decided, relabelled = relabelling.follow(given)
    settled, contradictions = settle_labels(decided, covers_proper, config.near_duplicates.labels)
    settled, restored = relabelling.follow(settled)
    settled = relabelling.without_genre(settled)
    ordered = [row for row in ordered if row.delivery not in taken] + settled
    rejected: list[InspectedRow] = []
    accepted: list[InspectedRow] = []
    for row in ordered:
        checked = _placed(row, found)
        if row.delivery in taken:
            (rejected if checked.reason else accepted).append(checked)
    covers = list(_covers(accepted, places, selection))
    by_split: dict[str, list[Cover]] = {split: [] for split in SPLITS}
    for cover in covers:
        split = places[cover.facts.image_id].split
        assert split is not None
        by_split[split].append(cover)
    drift = _drift_covers(ordered, places, selection)
    taken_ids = {cover.facts.image_id for cover in covers}
    return Plan(
        covers={split: tuple(members) for split, members in [*by_split.items(), *drift.items()]},
        quarantined=tuple(
            quarantined_row(row, selection.spans[row.delivery].source.folder) for row in rejected
        ),
        groups_by_genre=_groups_by_genre(covers),
        given_splits=found.are_given,
        drawn_from_train=found.drawn,
        straddling=tuple(_straddling(found, {cover.facts.image_id: cover for cover in covers})),
        united_labels=_united_labels(given, taken_ids),
        relabelled=len((relabelled | restored) & taken_ids),
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
    """Lists distinct covers by the delivery in which each first came, with its genres there."""
    first: dict[str, InspectedRow] = {}
    genres: dict[str, tuple[str, ...]] = {}
    splits: dict[str, str] = {}
    for row in rows:
        if not row.facts:
            continue
        image_id = row.facts.image_id
        known = first.setdefault(image_id, row)
        if row.delivery != known.delivery or row.reason:
            continue
        before = genres.setdefault(image_id, row.genres)
        if before != row.genres:
            genres[image_id] = tuple(sorted({*before, *row.genres}))
        if row.row.split:
            splits[image_id] = max(row.row.split, splits.get(image_id, ""), key=_protection)
    arrivals = [
        Arrival(
            row.delivery,
            image_id,
            row.facts.perceptual_hash,
            genres.get(image_id, ()),
            splits.get(image_id),
        )
        for image_id, row in first.items()
        if row.facts
    ]
    return sorted(arrivals, key=lambda arrival: (arrival.delivery, arrival.image_id))


def _protection(split: str) -> int:
    """Ranks splits: what is in one of them must not be in any before it."""
    return SPLITS.index(split) if split else -1


def _near_duplicates(
    rows: Sequence[InspectedRow],
    arrivals: Sequence[Arrival],
    workers: int,
    pairs: Pairs | None,
) -> NearDuplicates:
    facts = {row.facts.image_id: row.facts for row in rows if row.facts}
    ids = [arrival.image_id for arrival in arrivals]
    return NearDuplicates.find(
        ids,
        [facts[image_id].perceptual_hash for image_id in ids],
        [facts[image_id].thumbnail for image_id in ids],
        workers,
        pairs,
    )


def _placed(row: InspectedRow, found: Places) -> InspectedRow:
    if row.reason or not row.facts:
        return row
    place = found.by_id[row.facts.image_id]
    if found.are_given:
        return _checked_split(row, place)
    if place.split:
        return row
    received = ", ".join(f"{image_id[:12]} ({split})" for split, image_id in place.conflict.items())
    return dataclasses.replace(
        row,
        reason=Reason.BETWEEN_SPLITS,
        detail="Expected the near-duplicates among earlier covers to be in one split. "
        f"Received: {received}.",
    )


def _checked_split(row: InspectedRow, place: Place) -> InspectedRow:
    """Sets a row aside that gives no split where others do, or another one for the same image."""
    if row.row.split is None:
        return dataclasses.replace(
            row,
            reason=Reason.NO_SPLIT,
            detail="Expected a split, as other rows have one. Received: none. Give one, or ignore "
            "all of them (ingest.columns.split: false).",
        )
    if row.row.split == place.given:
        return row
    return dataclasses.replace(
        row,
        reason=Reason.IN_SEVERAL_SPLITS,
        detail=f"Expected one split for an image. Received: {row.row.split}, and {place.given} "
        "for the same image, which is kept.",
    )


def _straddling(found: Places, covers: Mapping[str, Cover]) -> Iterator[StraddlingPair]:
    """Yields the near-duplicates in different splits, of the covers that are taken."""
    for pair in found.straddling:
        both = [covers[image_id] for image_id in pair if image_id in covers]
        if len(both) == 2:
            yield StraddlingPair(
                image_ids=pair,
                paths=tuple(cover.paths[0] for cover in both),
                splits=tuple(found.by_id[image_id].split or "" for image_id in pair),
            )


def _covers(
    rows: Sequence[InspectedRow], places: Mapping[str, Place], selection: Selection
) -> Iterator[Cover]:
    """Yields one cover for each distinct image, ordered by identity."""
    has_values = any(row.row.values for row in rows)
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
            file=same[0].row.extracted or f"{source.directory}/{file}",
            values=united_values(row.row.values for row in same) if has_values else (),
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


def _groups_by_genre(covers: Sequence[Cover]) -> dict[str, int]:
    pairs = {(cover.group, genre) for cover in covers for genre in cover.genres}
    return dict(sorted(Counter(genre for _, genre in pairs).items()))


def _united_labels(given: Sequence[InspectedRow], covers: Collection[str]) -> int:
    genres: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for row in given:
        if row.facts and not row.reason and row.facts.image_id in covers:
            genres[row.facts.image_id].add(row.genres)
    return sum(len(given) > 1 for given in genres.values())
