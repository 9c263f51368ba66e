"""Finds placeholders: one picture in place of many covers, such as "no image available".

A re-issued album has a handful of covers, and their genres mostly agree. A picture that takes a
considerable share of the data, and whose genres are as mixed as those of the data at large, is no
cover. Nor is one without anything to see, or one that takes more than any album could.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from components.contracts.quarantine import Placeholder, Reason
from components.cover_example_gen.near_duplicates import NearDuplicates
from components.cover_example_gen.rows import InspectedRow

LEAST_ROWS = 10
LEAST_SHARE = 0.01
IMPLAUSIBLE_SHARE = 0.1


def find_placeholders(rows: Sequence[InspectedRow], near: NearDuplicates) -> dict[str, Placeholder]:
    """Returns the placeholders by the identities of their pictures.

    Args:
        rows: the acceptable rows, in order.
        near: the distinct covers and their near-duplicates.
    """
    least = max(LEAST_ROWS, LEAST_SHARE * len(rows))
    frequent = _frequent_pictures(rows, near, least)
    if not frequent:
        return {}
    overall = Counter(row.genres for row in rows)
    found: dict[str, Placeholder] = {}
    for same in frequent:
        # One file that many rows name is one cover, given many times.
        if len({row.file for row in same}) >= least:
            placeholder = _describe(same, len(rows))
            # Rows that repeat a file and its genres are one cover, however many they are.
            implausible = placeholder.images >= max(LEAST_ROWS, IMPLAUSIBLE_SHARE * len(near.ids))
            implausible |= placeholder.flat
            if implausible or _as_mixed(Counter(row.genres for row in same), overall):
                found |= {row.facts.image_id: placeholder for row in same if row.facts}
    return found


def set_aside(row: InspectedRow, placeholders: Mapping[str, Placeholder]) -> InspectedRow:
    """Rejects a row that shows a placeholder, and has it take no part in naming groups."""
    placeholder = placeholders.get(row.facts.image_id) if row.facts else None
    if placeholder is None:
        return row
    if row.reason:
        return dataclasses.replace(row, facts=None)
    return dataclasses.replace(
        row,
        facts=None,
        genres=(),
        reason=Reason.PLACEHOLDER,
        detail="Expected a cover. Received: a picture that stands for "
        f"{placeholder.rows:,} rows ({placeholder.share:.1%}), probably a placeholder.",
    )


def _frequent_pictures(
    rows: Sequence[InspectedRow], near: NearDuplicates, least: float
) -> list[list[InspectedRow]]:
    """Returns the rows of each picture that at least so many rows show."""
    pictures = dict(zip(near.ids, near.same_pictures().tolist(), strict=True))
    shown = [pictures[row.facts.image_id] for row in rows if row.facts]
    frequent = {picture for picture, count in Counter(shown).items() if count >= least}
    by_picture: dict[int, list[InspectedRow]] = defaultdict(list)
    for row, picture in zip(rows, shown, strict=True) if frequent else ():
        if picture in frequent:
            by_picture[picture].append(row)
    return list(by_picture.values())


def _describe(same: Sequence[InspectedRow], rows: int) -> Placeholder:
    facts = [row.facts for row in same if row.facts]
    return Placeholder(
        image_id=facts[0].image_id,
        path=same[0].file,
        rows=len(same),
        images=len({each.image_id for each in facts}),
        share=len(same) / rows,
        label_sets=len({row.genres for row in same}),
        flat=all(each.flat for each in facts),
    )


def _as_mixed(labels: Counter[tuple[str, ...]], overall: Counter[tuple[str, ...]]) -> bool:
    """Whether labels are nearer to the mixture of all labels than to agreement."""
    agreement = max(labels.values()) / labels.total()
    expected = max(overall.values()) / overall.total()
    return len(labels) > 1 and agreement <= (1.0 + expected) / 2
