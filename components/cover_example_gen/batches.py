"""Batches of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batches_by_size(
    items: Iterable[T], size_of: Callable[[T], int], limit: int
) -> Iterator[list[T]]:
    """Yields items in lists, each of which ends with the item that brings its size to the limit."""
    batch: list[T] = []
    size = 0
    for item in items:
        batch.append(item)
        size += size_of(item)
        if size >= limit:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
