"""The search for near-duplicates, divided among the workers of an engine.

The keys of a cover do not depend on other covers, so each of the searches, or a part of its keys,
can be anywhere. A cover takes 68 bytes in the one process that puts all of them in order, and
on average 160 bytes in a search of at most `_COVERS_PER_SEARCH`; hashes stay in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray

from components.cover_example_gen.exchange import save_array, whole_file
from components.cover_example_gen.near_duplicates import SEARCHES, Pairs, as_pairs, search
from components.cover_example_gen.perceptual_hash import HASH_BITS
from components.cover_example_gen.rows import InspectedRow

ARRIVALS = ".arrivals.npy"
_HASHES = "hashes.npy"
_FOUND = ".pairs.npy"
_COVERS_PER_SEARCH = 4_000_000
_BYTES = HASH_BITS // 8  # of a perceptual hash; those of a sha256 are as many
_ARRIVAL = np.dtype([("delivery", ">u4"), ("id", ">u8", 4), ("hash", np.uint8, _BYTES)])


class DividedSearch(beam.PTransform):
    """Maps (None, numbers of batches) to (None, numbers of searches) for `found_pairs`.

    Args:
        results: folder that has the arrivals of each batch, `NUMBER` + `ARRIVALS`.
    """

    def __init__(self, results: Path) -> None:
        super().__init__()
        self._results = results

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Puts all covers in order once, and searches among them."""
        return (
            batches
            | "Order" >> beam.FlatMap(_order_arrivals, results=self._results)
            | "SpreadSearches" >> beam.GroupByKey()
            | "Search" >> beam.Map(_search, results=self._results)
            | "AllSearches" >> beam.GroupByKey()
        )


def as_arrivals(rows: Iterable[InspectedRow]) -> NDArray[np.void]:
    """Returns delivery, identity and perceptual hash of each row with an acceptable image."""
    known = [
        (
            row.delivery,
            np.frombuffer(bytes.fromhex(row.facts.image_id), ">u8"),
            np.frombuffer(row.facts.perceptual_hash, np.uint8),
        )
        for row in rows
        if row.facts
    ]
    return np.array(known, _ARRIVAL)


def put_in_order(files: Iterable[Path], target: Path) -> int:
    """Writes the hashes of distinct covers, ordered by first delivery and identity.

    Args:
        files: what `as_arrivals` returned, each saved by NumPy.
        target: the NumPy file to write, uint8 of shape (covers, 32).

    Returns:
        The number of distinct covers.
    """
    arrivals = np.concatenate([np.zeros((0,), _ARRIVAL), *map(np.load, files)])
    arrivals = arrivals[np.lexsort((arrivals["delivery"], *_words(arrivals)))]
    is_first = np.ones((len(arrivals),), bool)
    is_first[1:] = (arrivals["id"][1:] != arrivals["id"][:-1]).any(axis=1)
    arrivals = arrivals[is_first]
    order = np.lexsort((*_words(arrivals), arrivals["delivery"]))
    np.save(target, arrivals["hash"][order])
    return len(order)


def _words(arrivals: NDArray[np.void]) -> tuple[NDArray[np.uint64], ...]:
    """Returns the words of identities as keys for `lexsort`, whose last key counts most."""
    return tuple(arrivals["id"].T[::-1])


def _order_arrivals(
    batches: tuple[None, Iterable[int]], results: Path
) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Yields number -> arguments of `search`: which of all, its part, the number of parts."""
    files = [results / f"{number}{ARRIVALS}" for number in batches[1]]
    with whole_file(results / _HASHES) as target:
        covers = put_in_order(files, target)
    parts = max(1, -(-covers // _COVERS_PER_SEARCH))
    for number in range(SEARCHES * parts):
        yield number, (number // parts, number % parts, parts)


def _search(
    numbered: tuple[int, Iterable[tuple[int, int, int]]], results: Path
) -> tuple[None, int]:
    number, [(which, part, parts)] = numbered
    hashes = np.load(results / _HASHES, mmap_mode="r")
    save_array(search(hashes, which, part, parts), results / f"{number}{_FOUND}")
    return None, number


def found_pairs(results: Path, searches: Iterable[int]) -> Pairs:
    """Returns the pairs that searches, given by their numbers, found together."""
    covers = len(np.load(results / _HASHES, mmap_mode="r"))
    return as_pairs((np.load(results / f"{number}{_FOUND}") for number in searches), covers)
