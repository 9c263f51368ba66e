"""The learning-rate range test.

Smith, "Cyclical Learning Rates for Training Neural Networks" (2017): train for a few steps while
the learning rate grows exponentially; the loss falls where the rate is useful and rises again
where it is too high.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from components.contracts.diagnosis import Finding

_LOWEST, _HIGHEST = 1e-6, 1.0
_SMOOTHING = 0.9
_RISE = 1.1


@dataclasses.dataclass(frozen=True)
class LearningRateRange:
    """What a range test found.

    Attributes:
        steepest: the rate at which the loss falls fastest.
        highest: the rate at which it has begun to rise; infinite if it never does.
        configured: the rate of the configuration.
    """

    steepest: float
    highest: float
    configured: float


def range_test(
    model: keras.Model, batches: Iterable[tuple[Any, Any]], steps: int
) -> LearningRateRange:
    """Trains a compiled model, which is useless afterwards, at growing learning rates.

    Args:
        model: compiled, with a constant learning rate or a schedule, which is replaced.
        batches: at least `steps` of images and labels.
        steps: number of steps from the lowest to the highest rate.
    """
    configured = highest_rate(model.optimizer)
    rates = np.geomspace(_LOWEST, _HIGHEST, steps)
    optimizer = type(model.optimizer).from_config(
        {**model.optimizer.get_config(), "learning_rate": _LOWEST}
    )
    model.compile(optimizer=optimizer, loss=model.loss, jit_compile=False)
    losses: list[float] = []
    smoothed = 0.0
    for step, (rate, (images, labels)) in enumerate(zip(rates, batches, strict=False)):
        model.optimizer.learning_rate = rate
        loss = float(np.ravel(model.train_on_batch(images, labels))[0])
        smoothed = _SMOOTHING * smoothed + (1.0 - _SMOOTHING) * loss
        losses.append(smoothed / (1.0 - _SMOOTHING ** (step + 1)))
        if not np.isfinite(loss) or losses[-1] > 2.0 * min(losses):
            break
    return _read_off(rates[: len(losses)], np.array(losses), configured)


def highest_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Returns the optimizer's learning rate, or the peak of its schedule."""
    config = optimizer.get_config()["learning_rate"]
    if not isinstance(config, dict):
        return float(config)
    schedule = config["config"]
    return float(schedule.get("warmup_target") or schedule["initial_learning_rate"])


def check_learning_rate(found: LearningRateRange) -> list[Finding]:
    """Finds a configured rate beyond the range in which the loss falls."""
    numbers = {
        "steepest": found.steepest,
        "highest": found.highest,
        "configured": found.configured,
    }
    if found.configured >= found.highest:
        return [
            Finding(
                "learning_rate_too_high",
                "warning",
                f"The learning rate is {found.configured:g}; in the range test the loss rises from "
                f"{found.highest:.1g} upwards.",
                f"Try about {found.steepest / 3:.0e} to {found.steepest:.0e}.",
                numbers,
            )
        ]
    if found.configured < found.steepest / 1000:
        return [
            Finding(
                "learning_rate_too_low",
                "warning",
                f"The learning rate is {found.configured:g}; in the range test the loss falls "
                f"fastest at {found.steepest:.1g}.",
                f"Try about {found.steepest / 10:.0e} to {found.steepest:.0e}.",
                numbers,
            )
        ]
    return []


def _read_off(rates: np.ndarray, losses: np.ndarray, configured: float) -> LearningRateRange:
    lowest = int(np.nanargmin(losses))
    risen = np.flatnonzero((losses > _RISE * losses[lowest]) & (np.arange(len(losses)) > lowest))
    fall = np.gradient(losses[: lowest + 1], np.log(rates[: lowest + 1])) if lowest else [0.0]
    return LearningRateRange(
        steepest=float(rates[int(np.argmin(fall))]),
        highest=float(rates[risen[0]]) if len(risen) else float("inf"),
        configured=configured,
    )
