"""Covers that are near-duplicates and name different genres: finds them, and settles the labels.

A copy of a cover in another file is a negative for the genres that only the other names. On real
covers the genres of such copies complete each other: they are those of one album. Labels are
settled only among copies of the same picture: groups of
near-duplicates reach from one edition to the next. docs/ingest.md has the numbers.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from components.contracts.genre_names import GENRE_SEPARATOR
from components.contracts.quarantine import Contradiction, Reason
from components.cover_example_gen.config import ContradictingLabels
from components.cover_example_gen.near_duplicates import NearDuplicates
from components.cover_example_gen.rows import InspectedRow

_OUTCOMES = {"merge": "merged", "keep": "kept", "quarantine": "quarantined"}

Genres = tuple[str, ...]


def settle_labels(
    rows: Sequence[InspectedRow], near: NearDuplicates, choice: ContradictingLabels
) -> tuple[list[InspectedRow], list[Contradiction]]:
    """Settles the labels of copies that contradict each other.

    Args:
        rows: rows, rejected ones among them, in order.
        near: the covers to settle, and their near-duplicates.
        choice: what becomes of contradicting labels of the same picture.

    Returns:
        The rows, with the union of the genres or rejected as chosen; and the contradicting pairs,
        those of the least distance first.
    """
    # A cover without near-duplicates contradicts none.
    paired = {near.ids[position] for position in np.unique(near.pairs).tolist()}
    labels, paths = _labels(rows, paired)
    pictures = _pictures(rows, near, labels)
    found = _contradictions(near, labels, paths, pictures, _OUTCOMES[choice])
    if choice == "keep" or not found:
        return list(rows), found
    given: dict[int, set[Genres]] = defaultdict(set)
    for image_id, genres in labels.items():
        given[pictures[image_id]].add(genres)
    contradicting = {picture: sets for picture, sets in given.items() if len(sets) > 1}
    settled = []
    for row in rows:
        picture = pictures.get(row.facts.image_id) if row.facts and not row.reason else None
        sets = contradicting.get(picture) if picture is not None else None
        if sets is None:
            settled.append(row)
        elif choice == "merge":
            settled.append(dataclasses.replace(row, genres=tuple(sorted(set().union(*sets)))))
        else:
            settled.append(_rejected(row, sets))
    return settled, found


def _labels(
    rows: Sequence[InspectedRow], among: Collection[str]
) -> tuple[dict[str, Genres], dict[str, str]]:
    """Returns the genres and a path of each acceptable cover among some."""
    genres: dict[str, set[str]] = defaultdict(set)
    paths: dict[str, str] = {}
    for row in rows:
        if row.facts and not row.reason and row.facts.image_id in among:
            genres[row.facts.image_id].update(row.genres)
            paths.setdefault(row.facts.image_id, row.file)
    return {image_id: tuple(sorted(names)) for image_id, names in genres.items()}, paths


def _pictures(
    rows: Sequence[InspectedRow], near: NearDuplicates, labels: Mapping[str, Genres]
) -> dict[str, int]:
    """Numbers the pictures. Flat ones are never the same beyond doubt: hashes ignore colour."""
    flat = {row.facts.image_id for row in rows if row.facts and row.facts.flat}
    certain = near.among(labels.keys() - flat)
    pictures = dict(zip(certain.ids, certain.same_pictures().tolist(), strict=True))
    return pictures | {image_id: -1 - n for n, image_id in enumerate(sorted(flat))}


def _contradictions(
    near: NearDuplicates,
    labels: Mapping[str, Genres],
    paths: Mapping[str, str],
    pictures: Mapping[str, int],
    outcome: str,
) -> list[Contradiction]:
    found = []
    for (later, earlier), distance in zip(
        near.pairs.tolist(), near.distances.tolist(), strict=True
    ):
        first, second = sorted((near.ids[later], near.ids[earlier]))
        if first not in labels or second not in labels or labels[first] == labels[second]:
            continue
        same = pictures[first] == pictures[second]
        found.append(
            Contradiction(
                ids=(first, second),
                paths=(paths[first], paths[second]),
                genres=(labels[first], labels[second]),
                distance=distance,
                outcome=outcome if same else "kept",
            )
        )
    return sorted(found, key=lambda each: (each.distance, each.ids))


def _rejected(row: InspectedRow, sets: set[Genres]) -> InspectedRow:
    received = " and ".join(GENRE_SEPARATOR.join(genres) or "none" for genres in sorted(sets))
    return dataclasses.replace(
        row,
        genres=(),
        reason=Reason.CONTRADICTING_LABELS,
        detail=f"Expected copies of a picture to name the same genres. Received: {received}.",
    )
