"""Which covers of each batch one of several workers trains on."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Part:
    """A worker's part of every batch: covers that are next to each other in it.

    Attributes:
        index: the worker, from 0.
        count: the number of workers.
    """

    index: int = 0
    count: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether there is one worker, which has every cover."""
        return self.count == 1

    def size(self, batch_size: int) -> int:
        """Returns the number of covers in this part of a full batch."""
        return self._end(self.index + 1, batch_size) - self._end(self.index, batch_size)

    def of_epoch(self, items: tf.data.Dataset, covers: int, batch_size: int) -> tf.data.Dataset:
        """Keeps this part of what is one item per cover, in the order of an epoch.

        In a last batch of fewer covers than workers, some get a cover of another one instead of
        none, which few layers take, and count it as nothing.

        Args:
            items: anything.
            covers: how many.
            batch_size: covers in a batch, over all workers.

        Yields:
            (item, count): the item as it was; tf.float32, 1.0 or, for such a cover, 0.0.
        """

        def place(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            inside = number % batch_size
            in_batch = tf.minimum(tf.constant(batch_size, tf.int64), covers - (number - inside))
            start, stop = (self._end(index, in_batch) for index in (self.index, self.index + 1))
            return inside, start, stop

        def is_own(number: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
            inside, start, stop = place(number)
            return (start <= inside) & (inside < tf.maximum(stop, start + 1))

        def counted(number: tf.Tensor, item: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            inside, _, stop = place(number)
            return item, tf.cast(inside < stop, tf.float32)

        own = items.enumerate().filter(is_own).map(counted)
        full, rest = divmod(covers, batch_size)
        size = self.size(rest) or 1 if rest else 0
        return own.apply(
            tf.data.experimental.assert_cardinality(full * self.size(batch_size) + size)
        )

    def _end(self, index: int, size: int | tf.Tensor) -> int | tf.Tensor:
        return size * index // self.count


WHOLE = Part()
