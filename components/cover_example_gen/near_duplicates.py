"""Finds near-duplicate covers: re-issues with other borders, colours, scans or stickers.

Two covers are near-duplicates when at most `DISTANCE` of the 256 bits of their perceptual hashes
differ (ImageHash's pHash; Zauner 2010, https://www.phash.org/docs/pubs/thesis_zauner.pdf). The
distance was chosen by looking at real pairs around it; docs/ingest.md has the numbers.

The search is locality-sensitive hashing by bit sampling (Indyk & Motwani 1998,
https://doi.org/10.1145/276698.276876), not a comparison of all pairs: covers are compared when
they agree in all 16 bits of one of 512 keys. A pair at exactly 72 bits is found with
a probability of 0.9, one at 64 bits with 0.99, one below 56 with more than 0.999. The keys are
fixed and a cover meets only those that arrived before it: what is found among the covers of some
spans does not change when later spans arrive.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from components.cover_example_gen.batches import batches_by_size
from components.cover_example_gen.perceptual_hash import HASH_BITS

DISTANCE = 72
# Near-duplicates are copies of the same picture beyond doubt if so few bits differ, or if the grey
# levels of their thumbnails differ by so little of their contrast: the fine bits of a blurred
# picture's hash are noise.
SAME_PICTURE = 12
SAME_THUMBNAIL = 0.03

SEARCHES = 32  # each permutes the bits, which gives 16 keys of 16 bits
_HASHES_AT_ONCE = 1024
_SEED = 256
_FEW = 8192
_PAIRS_AT_ONCE = 1 << 14
# Of many covers with one key, each meets this many of its neighbours: the time stays linear when
# thousands of covers look alike, and a chain of neighbours still makes them one group.
_NEIGHBOURS = 32
_POSITION_BITS = np.uint64(48)
_POSITION_MASK = np.uint64((1 << 48) - 1)

Pairs = NDArray[np.int64]


def find_near_duplicates(hashes: Sequence[bytes], workers: int = 1) -> Pairs:
    """Returns pairs (later, earlier) of positions of near-duplicates, shape (pairs, 2), sorted.

    Args:
        hashes: 256-bit perceptual hashes, in order of arrival.
        workers: threads; the result does not depend on it.
    """
    if len(hashes) < 2:
        return np.zeros((0, 2), np.int64)
    packed = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), HASH_BITS // 8)
    # With few covers, threads would mostly wait for Python's lock.
    with ThreadPoolExecutor(workers if len(hashes) > _FEW else 1) as pool:
        found = pool.map(lambda number: search(packed, number), range(SEARCHES))
        return as_pairs(found, len(hashes))


def search(
    packed: NDArray[np.uint8], number: int, part: int = 0, parts: int = 1
) -> NDArray[np.int64]:
    """Does one of the searches that together find the near-duplicates, or a part of it.

    Args:
        packed: perceptual hashes in order of arrival, shape (covers, 32).
        number: which search, 0 to `SEARCHES` - 1.
        part: which keys it looks at, 0 to `parts` - 1; the parts of all keys find what one does.
        parts: into how many the keys are divided; a part takes 1 / `parts` of the memory.

    Returns:
        What `as_pairs` understands.
    """
    words = packed.view(np.uint64)
    candidates = (
        pairs
        for keys in _keys(packed, _permutations()[number])
        for pairs in _neighbours(keys, part, parts)
    )
    # For few pairs, the calls are what costs; for very many, the memory.
    batches = batches_by_size(candidates, len, _PAIRS_AT_ONCE)
    near = [_compare(np.concatenate(pairs), words) for pairs in batches]
    return np.unique(np.concatenate(near)) if near else np.zeros((0,), np.int64)


def as_pairs(found: Iterable[NDArray[np.int64]], covers: int) -> Pairs:
    """Returns what searches found as pairs (later, earlier), shape (pairs, 2), sorted."""
    codes = np.unique(np.concatenate([np.zeros((0,), np.int64), *found]))
    return np.stack(np.divmod(codes, covers), axis=1)


@functools.cache
def _permutations() -> tuple[NDArray[np.int64], ...]:
    random = np.random.default_rng(_SEED)
    return tuple(random.permutation(HASH_BITS) for _ in range(SEARCHES))


@dataclasses.dataclass(frozen=True)
class NearDuplicates:
    """Distinct covers and which of them are near-duplicates.

    Attributes:
        ids: identities of the covers, in order of arrival.
        pairs: positions (later, earlier) of near-duplicates, shape (pairs, 2).
        distances: differing bits of each pair, shape (pairs,).
        same: whether each pair are copies of the same picture, shape (pairs,).
    """

    ids: Sequence[str]
    pairs: Pairs
    distances: NDArray[np.int64]
    same: NDArray[np.bool_]

    @classmethod
    def find(
        cls,
        ids: Sequence[str],
        hashes: Sequence[bytes],
        thumbnails: Sequence[bytes],
        workers: int = 1,
        pairs: Pairs | None = None,
    ) -> NearDuplicates:
        """Finds the near-duplicates among covers.

        Args:
            ids: identities, in order of arrival.
            hashes: 256-bit perceptual hashes.
            thumbnails: grey levels of 64 squares.
            workers: threads; the result does not depend on it.
            pairs: what `find_near_duplicates` returns, if it is known.
        """
        if pairs is None:
            pairs = find_near_duplicates(hashes, workers)
        words = np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, HASH_BITS // 64)
        distances = hamming_distances(words[pairs[:, 0]], words[pairs[:, 1]])
        size = len(thumbnails[0]) if thumbnails else 0
        levels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(ids), size)
        alike = _are_alike(levels[pairs[:, 0]], levels[pairs[:, 1]])
        return cls(ids, pairs, distances, (distances <= SAME_PICTURE) | alike)

    def among(self, chosen: Collection[str]) -> NearDuplicates:
        """Returns the same for some of the covers."""
        kept = np.fromiter((each in chosen for each in self.ids), bool, len(self.ids))
        inside = kept[self.pairs].all(axis=1)
        positions = np.cumsum(kept) - 1
        ids = [each for each in self.ids if each in chosen]
        pairs = positions[self.pairs[inside]]
        return NearDuplicates(ids, pairs, self.distances[inside], self.same[inside])

    def same_pictures(self) -> NDArray[np.int32]:
        """Numbers the pictures: copies of one get the same number, shape (covers,)."""
        return number_groups(self.pairs[self.same], len(self.ids))


def _are_alike(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.bool_]:
    differences = left.astype(np.float32) - right
    contrast = np.minimum(left.std(axis=1), right.std(axis=1))
    return np.sqrt(np.mean(differences**2, axis=1)) <= SAME_THUMBNAIL * contrast


def number_groups(pairs: Pairs, count: int) -> NDArray[np.int32]:
    """Numbers the groups into which pairs join `count` positions, shape (count,)."""
    links = (np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1]))
    return connected_components(coo_matrix(links, shape=(count, count)), directed=False)[1]


def _compare(pairs: Pairs, words: NDArray[np.uint64]) -> NDArray[np.int64]:
    later, earlier = pairs.T
    near = hamming_distances(words[later], words[earlier]) <= DISTANCE
    return later[near] * len(words) + earlier[near]


def hamming_distances(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Counts differing bits of rows of 64-bit words, shapes (n, 4) and (n, 4), to shape (n,)."""
    differing = np.ascontiguousarray(left ^ right)
    return _POPULATION[differing.view(np.uint16)].sum(axis=1, dtype=np.int64)


_POPULATION = np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8)).reshape(-1, 16)
_POPULATION = _POPULATION.sum(axis=1, dtype=np.uint8)


def _keys(
    packed: NDArray[np.uint8], permutation: NDArray[np.int64]
) -> Iterator[NDArray[np.uint16]]:
    """Yields keys of 16 bits, shape (covers,), of the permuted bits of hashes."""
    permuted = np.empty_like(packed)
    for start in range(0, len(packed), _HASHES_AT_ONCE):
        bits = np.unpackbits(packed[start : start + _HASHES_AT_ONCE], axis=1)
        permuted[start : start + _HASHES_AT_ONCE] = np.packbits(
            bits.take(permutation, axis=1), axis=1
        )
    yield from permuted.view(">u2").T


def _neighbours(keys: NDArray[np.uint16], part: int, parts: int) -> Iterator[Pairs]:
    """Yields pairs of positions of covers with equal keys, of a part of the keys."""
    positions = np.flatnonzero(keys % parts == part).astype(np.uint64)
    # Sorted as one number: by key, then by arrival.
    values = np.sort((keys[positions].astype(np.uint64) << _POSITION_BITS) | positions)
    keys, order = values >> _POSITION_BITS, (values & _POSITION_MASK).astype(np.int64)
    for step in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
        same = np.flatnonzero(keys[step:] == keys[:-step])
        if not len(same):
            return
        yield np.stack([order[same + step], order[same]], axis=1)
