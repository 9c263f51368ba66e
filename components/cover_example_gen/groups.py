"""Gives each cover its near-duplicate group and split, permanently.

A group is named when its first cover arrives, and its split is drawn then. Covers of later spans
join a group and never rename one. A later cover that would join groups of two splits would leak
whichever split it got: it belongs to neither, and is set aside.

Data that give splits themselves keep them; only a split that they lack is drawn, from train.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from components.contracts.label_schema import SPLITS, TRAIN_SPLIT
from components.cover_example_gen.near_duplicates import Pairs, find_near_duplicates, number_groups
from components.cover_example_gen.splits import Group, assign_split, balance


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """A distinct cover and when it came.

    Attributes:
        delivery: position of its span among the spans read; 0 for data without spans.
        image_id: identity of the cover.
        perceptual_hash: 256 bits.
        genres: its genres; a cover without usable ones still takes part in naming groups.
        split: the split that the data give it, or None.
    """

    delivery: int
    image_id: str
    perceptual_hash: bytes
    genres: tuple[str, ...] = ()
    split: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a cover belongs.

    Attributes:
        group: name of its near-duplicate group, the identity of one of its first covers.
        split: the group's split; None if near-duplicates of the cover are in several splits, or if
            other covers are given a split and it is not.
        conflict: for a cover between splits, a near-duplicate in each of them.
        given: the split that the data give the cover; its split may have been drawn from that.
    """

    group: str
    split: str | None
    conflict: Mapping[str, str] = dataclasses.field(default_factory=dict)
    given: str | None = None


@dataclasses.dataclass(frozen=True)
class Places:
    """The places of all covers.

    Attributes:
        by_id: identity -> place.
        are_given: whether the data give the splits.
        drawn: the splits that were drawn from train, because the data give others only.
        straddling: pairs of near-duplicates in different splits, which only given splits have.
    """

    by_id: Mapping[str, Place]
    are_given: bool = False
    drawn: tuple[str, ...] = ()
    straddling: tuple[tuple[str, str], ...] = ()


def find_places(
    arrivals: Sequence[Arrival],
    shares: Mapping[str, float],
    workers: int = 1,
    pairs: Pairs | None = None,
) -> Places:
    """Returns the places of covers, in splits that the data give or that are drawn.

    Args:
        arrivals: distinct covers, ordered by delivery and identity.
        shares: split -> share of the groups.
        workers: threads of the search for near-duplicates.
        pairs: what that search has found, if it is known.
    """
    if pairs is None:
        pairs = find_near_duplicates([arrival.perceptual_hash for arrival in arrivals], workers)
    given = {arrival.split for arrival in arrivals} - {None}
    if not given:
        return Places(assign_places(arrivals, shares, workers, pairs))
    missing = tuple(split for split in SPLITS if split not in given)
    drawn: Mapping[str, Place] = {}
    if missing and TRAIN_SPLIT in given:
        train = [arrival for arrival in arrivals if arrival.split == TRAIN_SPLIT]
        parts = {split: shares[split] for split in (TRAIN_SPLIT, *missing)}
        whole = sum(parts.values())
        drawn = assign_places(
            train, {split: share / whole for split, share in parts.items()}, workers
        )
    first: dict[int, str] = {}
    by_id: dict[str, Place] = {}
    for arrival, number in zip(arrivals, number_groups(pairs, len(arrivals)).tolist(), strict=True):
        group = first.setdefault(number, arrival.image_id)
        place = drawn.get(arrival.image_id) or Place(group, arrival.split)
        by_id[arrival.image_id] = dataclasses.replace(place, given=arrival.split)
    splits = [by_id[arrival.image_id].split for arrival in arrivals]
    straddling = tuple(
        (arrivals[earlier].image_id, arrivals[later].image_id)
        for later, earlier in pairs.tolist()
        if splits[later] and splits[earlier] and splits[later] != splits[earlier]
    )
    return Places(by_id, are_given=True, drawn=missing if drawn else (), straddling=straddling)


def assign_places(
    arrivals: Sequence[Arrival],
    shares: Mapping[str, float],
    workers: int = 1,
    pairs: Pairs | None = None,
) -> dict[str, Place]:
    """Returns the place of each cover by identity, in splits that are drawn.

    Args:
        arrivals: distinct covers, ordered by delivery and identity.
        shares: split -> share of the groups.
        workers: threads of the search for near-duplicates.
        pairs: what that search has found, if it is known.
    """
    deliveries = np.array([arrival.delivery for arrival in arrivals], np.int64)
    if pairs is None:
        pairs = find_near_duplicates([arrival.perceptual_hash for arrival in arrivals], workers)
    ids = [arrival.image_id for arrival in arrivals]
    places: list[Place] = []
    groups: dict[str, Group] = {}
    edges = np.append(np.flatnonzero(np.diff(deliveries, prepend=-1)), len(ids))
    for first, end in itertools.pairwise(edges.tolist()):
        among = pairs[(pairs[:, 0] >= first) & (pairs[:, 0] < end)]
        drawn = _place_delivery(ids[first:end], first, among, ids, places, shares)
        new = _new_groups(arrivals[first:end], drawn, groups)
        splits = balance(list(new.values()), groups.values(), shares)
        moved = {name: split for name, split in splits.items() if split != new[name].split}
        for name, split in moved.items():
            new[name] = dataclasses.replace(new[name], split=split)
        groups.update(new)
        places += [
            dataclasses.replace(place, split=moved[place.group]) if place.group in moved else place
            for place in drawn
        ]
    return dict(zip(ids, places, strict=True))


def _new_groups(
    arrivals: Sequence[Arrival], places: Sequence[Place], earlier: dict[str, Group]
) -> dict[str, Group]:
    """Returns the groups that a delivery begins; earlier ones get the genres of what joins them."""
    genres: dict[str, set[str]] = {}
    splits: dict[str, str] = {}
    for arrival, place in zip(arrivals, places, strict=True):
        if place.split is not None:
            splits[place.group] = place.split
            genres.setdefault(place.group, set()).update(arrival.genres)
    for name in genres.keys() & earlier.keys():
        known = earlier[name]
        earlier[name] = dataclasses.replace(known, genres=known.genres | genres.pop(name))
    return {name: Group(name, splits[name], frozenset(found)) for name, found in genres.items()}


def _place_delivery(
    new_ids: Sequence[str],
    first: int,
    pairs: Pairs,
    ids: Sequence[str],
    placed: Sequence[Place],
    shares: Mapping[str, float],
) -> list[Place]:
    """Places the covers of one delivery; `pairs` are those whose later cover is among them."""
    among = pairs[pairs[:, 1] >= first] - first
    numbers = number_groups(among, len(new_ids))
    earlier: dict[int, dict[str, int]] = {}  # component -> split -> an earlier cover there
    for later, before in pairs[pairs[:, 1] < first].tolist():
        split = placed[before].split
        if split is not None:
            known = earlier.setdefault(int(numbers[later - first]), {})
            known[split] = min(before, known.get(split, before))
    decided: dict[int, Place] = {}
    places: list[Place] = []
    for image_id, number in zip(new_ids, numbers.tolist(), strict=True):
        if number not in decided:
            decided[number] = _decide(image_id, earlier.get(number, {}), ids, placed, shares)
        places.append(decided[number])
    return places


def _decide(
    image_id: str,
    earlier: Mapping[str, int],
    ids: Sequence[str],
    placed: Sequence[Place],
    shares: Mapping[str, float],
) -> Place:
    if not earlier:
        return Place(image_id, assign_split(image_id, shares))
    if len(earlier) == 1:
        return placed[next(iter(earlier.values()))]
    return Place(image_id, None, {split: ids[cover] for split, cover in sorted(earlier.items())})
