"""A model that several workers train, each on its part of every batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from components.trainer.model import AugmentedModel
from components.trainer.worker_group import WorkerGroup


class DataParallelModel(AugmentedModel):
    """An AugmentedModel whose steps are those of all workers together.

    Its losses, gradients and metrics are those of whole batches. So weights, optimizer and metrics
    stay the same at all workers, and those of one are a checkpoint of the training.

    Args:
        model: the model, at this worker.
        group: all workers.
        batch_size: covers in a batch, over all workers.
    """

    def __init__(self, model: AugmentedModel, group: WorkerGroup, batch_size: int) -> None:
        super().__init__(model.network, model.augmentation)
        self._group = group
        self._batch_size = batch_size

    def train_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, Any]:
        """Takes a step with images, labels and counts of this worker; see `train_dataset`."""
        loss, labels, probabilities, gradients = self._group.run(self._differentiate, *data)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._measured(loss, labels, probabilities)

    def test_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, Any]:
        """Measures a batch, of which `data` is this worker's part."""
        return self._measured(*self._group.run(self._evaluate, *data))

    def _differentiate(self, images: Any, labels: Any, counts: Any) -> tuple[Any, ...]:
        with tf.GradientTape() as tape:
            probabilities = self(images, training=True)
            loss = self._total_loss(images, labels, probabilities, counts)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_variables)
        used = [gradient for gradient in gradients if gradient is not None]
        loss, covers, table, *sums = self._group.sum(
            [loss, tf.reduce_sum(counts), self._table(labels, probabilities, counts), *used]
        )
        means = iter(sums)
        gradients = [None if each is None else next(means) / covers for each in gradients]
        return loss / covers, *self._rows(table), gradients

    def _evaluate(self, images: Any, labels: Any, counts: Any) -> tuple[Any, ...]:
        probabilities = self(images, training=False)
        loss = self._total_loss(images, labels, probabilities, counts, training=False)
        loss, covers, table = self._group.sum(
            [loss, tf.reduce_sum(counts), self._table(labels, probabilities, counts)]
        )
        return loss / covers, *self._rows(table)

    def _total_loss(
        self, images: Any, labels: Any, probabilities: Any, counts: Any, training: bool = True
    ) -> tf.Tensor:
        loss = self.compute_loss(images, labels, probabilities, training=training)
        return self._group.mean_loss(loss) * tf.reduce_sum(counts)

    def _table(self, labels: Any, probabilities: Any, counts: Any) -> tf.Tensor:
        """Returns this worker's covers in rows of its own: count, labels, probabilities."""
        index, workers = self._group.part.index, self._group.part.count
        rows = tf.concat([counts[:, None], labels, tf.cast(probabilities, tf.float32)], axis=1)
        most = -(-self._batch_size // workers)
        behind = most * workers - most * index - tf.shape(rows)[0]
        return tf.pad(rows, [[most * index, behind], [0, 0]])

    def _rows(self, table: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns labels and probabilities of the whole batch, in its order."""
        covers = tf.boolean_mask(table[:, 1:], table[:, 0] > 0)
        labels, probabilities = tf.split(covers, 2, axis=1)
        return labels, probabilities

    def _measured(self, loss: tf.Tensor, labels: tf.Tensor, probabilities: Any) -> dict[str, Any]:
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=tf.shape(labels)[0])
        return dict(self.compute_metrics(None, labels, probabilities))
