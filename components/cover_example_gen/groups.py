"""Gives each cover its near-duplicate group and split, permanently.

A group is named when its first cover arrives, and its split is drawn from that name. Covers of
later spans join a group and never rename one. A later cover that would join groups of two splits
would leak whichever split it got: it belongs to neither, and is set aside.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from components.cover_example_gen.near_duplicates import Pairs, find_near_duplicates, number_groups
from components.cover_example_gen.splits import assign_split


@dataclasses.dataclass(frozen=True)
class Arrival:
    """A distinct cover and when it came.

    Attributes:
        delivery: position of its span among the spans read; 0 for data without spans.
        image_id: identity of the cover.
        perceptual_hash: 256 bits.
    """

    delivery: int
    image_id: str
    perceptual_hash: bytes


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a cover belongs.

    Attributes:
        group: name of its near-duplicate group, the identity of one of its first covers.
        split: the group's split; None if near-duplicates of the cover are in several splits.
        conflict: for a cover without a split, a near-duplicate in each of the splits.
    """

    group: str
    split: str | None
    conflict: Mapping[str, str] = dataclasses.field(default_factory=dict)


def assign_places(
    arrivals: Sequence[Arrival],
    shares: Mapping[str, float],
    workers: int = 1,
    pairs: Pairs | None = None,
) -> dict[str, Place]:
    """Returns the place of each cover by identity.

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
    edges = np.append(np.flatnonzero(np.diff(deliveries, prepend=-1)), len(ids))
    for first, end in itertools.pairwise(edges.tolist()):
        new = pairs[(pairs[:, 0] >= first) & (pairs[:, 0] < end)]
        places += _place_delivery(ids[first:end], first, new, ids, places, shares)
    return dict(zip(ids, places, strict=True))


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
