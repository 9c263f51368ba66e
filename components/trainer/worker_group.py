"""The processes that train one model together, as one of them sees the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.support.errors import ConfigError
from components.trainer.parts import Part

_BYTES_AT_ONCE = 16 << 20
_BYTES_IN_A_WORD = 4  # bytes themselves cannot be added up
_SEED_STATE = "seed_generator_state"
_BETWEEN_SEEDS = 1_000_003

_logger = logging.getLogger(__name__)


class WorkerGroup:
    """A group of workers, which `TF_CONFIG` describes; made before TensorFlow does anything.

    Keras 3 cannot `fit` in the scope of a MultiWorkerMirroredStrategy. So its variables are
    ordinary ones, of which each worker has its own, and the strategy adds up gradients,
    predictions and the statistics of batch normalisation.

    Attributes:
        part: this worker's part of every batch.

    Raises:
        ConfigError: a worker sees several GPUs.
    """

    def __init__(self) -> None:
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        resolver = self._strategy.cluster_resolver
        workers = resolver.cluster_spec().num_tasks("worker")
        devices = self._strategy.num_replicas_in_sync
        if devices != workers:
            raise ConfigError(
                f"Expected at most one GPU for each of {workers} workers. Received: {devices} in "
                "all. Show each worker one (CUDA_VISIBLE_DEVICES), or train with "
                "trainer.workers=1, which uses all GPUs of a machine."
            )
        self.part = Part(int(resolver.task_id), workers)

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that keeps checkpoints, reports and hands over the model."""
        return self.part.index == 0

    def run(self, step: Callable[..., Any], *args: Any) -> Any:
        """Calls `step` where `sum` can be called; all workers have to."""
        return self._strategy.run(step, args)

    def sum(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the sums over all workers, within `run`."""
        context = tf.distribute.get_replica_context()
        return list(context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors)))

    def mean_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns a loss that Keras computed within `run` as the mean over this worker's covers.

        There Keras divides by the number of workers, so that the sum of all is a mean.
        """
        return loss * float(self.part.count)

    def add_up(self, array: np.ndarray) -> np.ndarray:
        """Returns the sum of all workers' arrays of the same dtype and shape (rows, ...)."""
        total = np.empty_like(array)
        rows = max(1, _BYTES_AT_ONCE // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            total[start : start + rows] = self._add_up([array[start : start + rows]])[0]
        return total

    def take_over(self, variables: Sequence[Any]) -> None:
        """Gives variables the values that they have at the chief."""
        for kind in ("f", "iu"):  # which cannot be added up together
            alike = [each for each in variables if np.dtype(each.dtype).kind in kind]
            values = [np.asarray(keras.ops.convert_to_numpy(each)) for each in alike]
            values = [value if kind == "f" else value.astype(np.int64) for value in values]
            own = [value if self.is_chief else np.zeros_like(value) for value in values]
            for variable, value in zip(alike, self._add_up(own), strict=True):
                variable.assign(value.astype(variable.dtype))

    def share(self, file: Path | None, copy: Path) -> None:
        """Copies a file of the chief's to every worker, the chief included.

        Args:
            file: the chief's; None, or one that cannot be read, copies nothing.
            copy: where this worker's copy goes.
        """
        content = b""
        if self.is_chief and file:
            try:
                content = file.read_bytes()
            except FileNotFoundError:
                pass
            except OSError as error:
                _logger.warning("%s cannot be read (%s): going on without.", file, error)
        (size,) = self._add_up([np.array(len(content), np.int64)])
        words = np.zeros(-(-int(size) // _BYTES_IN_A_WORD), np.int32)
        if self.is_chief:
            words.view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
            del content
        words = self.add_up(words)
        if size:
            copy.write_bytes(words.view(np.uint8)[: int(size)].tobytes())

    def draw_apart(self, model: keras.Model) -> None:
        """Gives dropout and augmentation of each worker but the chief other random numbers."""
        for variable in model.variables:
            if _SEED_STATE in variable.path:
                state = np.asarray(keras.ops.convert_to_numpy(variable)).astype(np.int64)
                state[0] = (state[0] + self.part.index * _BETWEEN_SEEDS) % 2**31
                variable.assign(state)

    def _add_up(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        if not arrays:
            return []
        tensors = [tf.convert_to_tensor(each) for each in arrays]

        @tf.function(autograph=False)
        def added() -> list[tf.Tensor]:
            return self.run(lambda: self.sum(tensors))

        return [each.numpy() for each in added()]
