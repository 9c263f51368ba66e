"""Loss, optimizer and learning-rate schedule from a TrainerConfig."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import keras

from components.errors import ConfigError
from components.trainer.config import TrainerConfig, name_and_kwargs


def make_loss(config: TrainerConfig) -> Any:
    """Returns the configured Keras loss, a function or a `keras.losses.Loss`.

    Raises:
        ConfigError: the loss is unknown or refuses its arguments.
    """
    name, kwargs = name_and_kwargs(config.loss)
    try:
        return keras.losses.get({"class_name": name, "config": kwargs} if kwargs else name)
    except (TypeError, ValueError) as error:
        close = difflib.get_close_matches(name, dir(keras.losses), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(
            "Expected loss to name a loss of keras.losses, with arguments it takes. "
            f"Received: {name!r} with {kwargs}.{hint}"
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
        close = difflib.get_close_matches(name, dir(keras.optimizers), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"Expected optimizer to name one of keras.optimizers. Received: {name!r}.{hint}"
        )
    try:
        optimizer: Any = optimizer_class(**kwargs)
        peak = float(optimizer.learning_rate)
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
