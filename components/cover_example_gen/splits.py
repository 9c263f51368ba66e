"""Draws a split for each near-duplicate group, by hash: stable, and never across a group."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from components.contracts.label_schema import SPLITS


def assign_split(group: str, shares: Mapping[str, float]) -> str:
    """Returns the split of a group: permanently the same, whatever other covers there are.

    Args:
        group: identity of the near-duplicate group.
        shares: split -> share of the groups, adding up to 1.
    """
    digest = hashlib.sha256(group.encode("utf-8")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    edge = 0.0
    for split in SPLITS:
        edge += shares[split]
        if position < edge:
            return split
    return split
