"""Loss, optimizer and learning-rate schedule from a TrainerConfig."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np

from components.support.errors import ConfigError
from components.support.suggestions import did_you_mean
from components.trainer.config import TrainerConfig, name_and_kwargs
from components.trainer.losses import PositiveWeighted, balanced_weights


def make_loss(config: TrainerConfig, label_prior: np.ndarray | None = None) -> Any:
    """Returns the configured loss, a function or a `keras.losses.Loss`.

    Args:
        config: names the loss and whether it is balanced.
        label_prior: float, shape (genres,): what balanced class weights follow from; None
            weighs all alike.

    Raises:
        ConfigError: the loss is unknown, refuses its arguments or cannot be balanced.
    """
    name, kwargs = name_and_kwargs(config.loss)
    loss = _named_loss(name, kwargs)
    if config.class_weights == "none" or label_prior is None:
        return loss
    if not name.lower().startswith("binary"):
        raise ConfigError(
            "Expected a loss that treats each label by itself, such as binary_crossentropy or "
            f"BinaryFocalCrossentropy, with class_weights: balanced. Received: {name!r}."
        )
    by_label = loss.call if isinstance(loss, keras.losses.Loss) else loss
    return PositiveWeighted(by_label, balanced_weights(label_prior))


def _named_loss(name: str, kwargs: dict[str, Any]) -> Any:
    try:
        return keras.losses.get({"class_name": name, "config": kwargs} if kwargs else name)
    except (TypeError, ValueError) as error:
        known = dir(keras.losses)
        reason = f" {str(error).strip().splitlines()[0]}" if name in known else ""
        raise ConfigError(
            "Expected loss to name a loss of keras.losses, with arguments it takes. "
            f"Received: {name!r} with {kwargs}.{reason or did_you_mean(name, known)}"
        ) from error


def make_optimizer(config: TrainerConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Returns the configured Keras optimizer, its learning rate scheduled over all epochs.

    Raises:
        ConfigError: the optimizer is unknown or refuses its arguments.
    """
    name, kwargs = name_and_kwargs(config.optimizer)
    optimizer_class = getattr(keras.optimizers, name, None)
    if not inspect.isclass(optimizer_class) or not issubclass(
        optimizer_class, keras.optimizers.Optimizer
    ):
        raise ConfigError(
            f"Expected optimizer to name one of keras.optimizers. Received: {name!r}."
            f"{did_you_mean(name, dir(keras.optimizers))}"
        )
    try:
        optimizer: Any = optimizer_class(**kwargs)
        peak = learning_rate(optimizer)
    except Exception as error:  # Optimizers raise many types for arguments they do not take.
        raise ConfigError(
            f"Expected optimizer {name} to take the arguments {kwargs}. Received: {error}"
        ) from error
    schedule = config.learning_rate_schedule
    if schedule.name == "constant":
        return optimizer
    warmup_steps = round(schedule.warmup_epochs * steps_per_epoch)
    decay_steps = max(config.epochs * steps_per_epoch - warmup_steps, 1)
    if warmup_steps:
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, decay_steps, warmup_target=peak, warmup_steps=warmup_steps
        )
    else:
        rate = keras.optimizers.schedules.CosineDecay(peak, decay_steps)
    return optimizer_class(**{**kwargs, "learning_rate": rate})


def learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Returns the rate of the next step; several devices hold it in a variable of their own."""
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
