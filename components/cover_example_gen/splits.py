"""Draws a split for each near-duplicate group: by hash, and then so that no genre is left out.

The hash alone leaves small data with genres that a split lacks: of five genres with 30 covers each,
one set in five has none of some genre in eval. So the fewest groups that are needed move to another
split, chosen by hash as well. Where no genre lacks anything, as in all larger data, none moves.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from components.contracts.label_schema import SPLITS, TEST_SPLIT, TRAIN_SPLIT
from components.contracts.quarantine import FEWEST_GROUPS

_SHARE_AT_LEAST = 0.5
_IN_NO_GROUP = 1000  # a split without a genre weighs more than any with too few groups of it

Move = tuple[str, str]
"""The name of a group, and the split that it moves to."""


@dataclasses.dataclass(frozen=True)
class Group:
    """A near-duplicate group: its name, its split, and the genres of its covers."""

    name: str
    split: str
    genres: frozenset[str]


def assign_split(group: str, shares: Mapping[str, float]) -> str:
    """Returns the split of a group by hash: the same, whatever other covers there are.

    Args:
        group: identity of the near-duplicate group.
        shares: split -> share of the groups, adding up to 1; splits that are left out get none.
    """
    position = _position(group)
    edge = 0.0
    split = TRAIN_SPLIT
    for each in SPLITS:
        share = shares.get(each)
        if share:
            split = each
            edge += share
            if position < edge:
                break
    return split


def quotas(groups: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Returns split -> least number of groups of a genre that it has to have.

    That is half of the split's share, and at least one group; a genre of two groups is in train and
    test, and one of one group in train.

    Args:
        groups: number of groups of the genre.
        shares: split -> share of the groups.
    """
    if groups >= FEWEST_GROUPS:
        return {
            split: max(1, int(_SHARE_AT_LEAST * share * groups)) for split, share in shares.items()
        }
    wanted = [split for split in (TRAIN_SPLIT, TEST_SPLIT, *shares) if split in shares]
    return dict.fromkeys(list(dict.fromkeys(wanted))[:groups], 1)


def balance(
    new: Sequence[Group], earlier: Iterable[Group], shares: Mapping[str, float]
) -> dict[str, str]:
    """Returns the splits of new groups, the fewest of them moved so that genres have their quotas.

    Args:
        new: the groups that may move, with the splits that the hash gave them.
        earlier: groups whose splits are permanent.
        shares: split -> share of the groups.
    """
    balancing = _Balancing(new, earlier, shares)
    balancing.run()
    return balancing.splits


class _Balancing:
    """Moves groups one by one, or two at a time, as long as that makes less missing."""

    def __init__(
        self, new: Sequence[Group], earlier: Iterable[Group], shares: Mapping[str, float]
    ) -> None:
        self.splits = {group.name: group.split for group in new}
        self._genres = {group.name: group.genres for group in new}
        self._members: dict[str, list[str]] = defaultdict(list)
        self._counts: Counter[tuple[str, str]] = Counter()
        totals: Counter[str] = Counter()
        for group in new:
            for genre in group.genres:
                self._members[genre].append(group.name)
        for group in (*new, *earlier):
            for genre in group.genres:
                self._counts[genre, group.split] += 1
                totals[genre] += 1
        self._rarest_first = sorted(totals, key=lambda genre: (totals[genre], genre))
        self._quotas = {
            (genre, split): quota
            for genre, total in totals.items()
            for split, quota in quotas(total, shares).items()
        }

    def run(self) -> None:
        improved = True
        while improved:
            improved = False
            for genre in self._rarest_first:
                for split in SPLITS:
                    while self._missing(genre, split) and self._improve(genre, split):
                        improved = True

    def _improve(self, genre: str, split: str) -> bool:
        """Brings a group of the genre into the split; False if that would not make less missing."""
        candidates = [name for name in self._members[genre] if self.splits[name] != split]
        candidates.sort(key=lambda name: _position(f"{name} {split}"))
        moves = max(
            ([(name, split)] for name in candidates),
            key=lambda moves: (self._gain(moves), self._spare(genre, moves)),
            default=None,
        )
        if moves is None or self._gain(moves) <= 0:
            exchanges = (each for name in candidates for each in self._exchanges(name, split))
            moves = next((each for each in exchanges if self._gain(each) > 0), None)
        if moves:
            self._apply(moves)
        return bool(moves)

    def _spare(self, genre: str, moves: Sequence[Move]) -> int:
        """Returns how many groups more than its quota the split has that would give one away."""
        ((name, _),) = moves
        split = self.splits[name]
        return self._counts[genre, split] - self._quotas.get((genre, split), 0)

    def _exchanges(self, name: str, split: str) -> Iterator[list[Move]]:
        """Yields the move of a group together with one that brings its split what it takes away."""
        left = self.splits[name]
        others = {other for genre in sorted(self._genres[name]) for other in self._members[genre]}
        for other in sorted(others - {name}, key=lambda each: _position(f"{each} {left}")):
            if self.splits[other] != left:
                yield [(name, split), (other, left)]

    def _gain(self, moves: Sequence[Move]) -> int:
        """Returns how much less would be missing."""
        touched = {
            (genre, split)
            for name, target in moves
            for genre in self._genres[name]
            for split in (self.splits[name], target)
        }
        before = sum(self._missing(*each) for each in touched)
        back = [(name, self.splits[name]) for name, _ in moves]
        self._apply(moves)
        after = sum(self._missing(*each) for each in touched)
        self._apply(back)
        return before - after

    def _missing(self, genre: str, split: str) -> int:
        quota, count = self._quotas.get((genre, split), 0), self._counts[genre, split]
        return max(0, quota - count) + (_IN_NO_GROUP if quota and not count else 0)

    def _apply(self, moves: Sequence[Move]) -> None:
        for name, target in moves:
            for genre in self._genres[name]:
                self._counts[genre, self.splits[name]] -= 1
                self._counts[genre, target] += 1
            self.splits[name] = target


def _position(text: str) -> float:
    """Returns the place of a text between 0 and 1, by its hash."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
