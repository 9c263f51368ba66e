"""Checks inside the network: dead units, saturated outputs, gradients."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from components.contracts.diagnosis import Finding

_DEAD_SHARE = 0.3
_SATURATED_SHARE = 0.5
_SATURATED = 0.01
_WEAKEST_GRADIENT = 1e-5
_STRONGEST_GRADIENT = 100.0
# All activations of a deep network stay in memory: half a gigabyte for a cover of 384 px.
_COVERS_AT_A_TIME = 4


@dataclasses.dataclass(frozen=True)
class LayerActivity:
    """How alive one layer of rectified units is.

    Attributes:
        name: the layer's name.
        units: number of channels or units.
        dead_share: share of those that are zero on every cover.
    """

    name: str
    units: int
    dead_share: float


def layer_activity(network: keras.Model, images: np.ndarray) -> list[LayerActivity]:
    """Returns the activity of each rectified layer.

    Those of a backbone are left out: pretrained units that covers do not need are not dead.

    Args:
        network: layers in a row, of which the first may be a backbone.
        images: what the network takes, such as (covers, size, size, 3), pixels 0 to 255.
    """
    rectified = _rectified(network)
    if not rectified:
        return []
    names, outputs = zip(*rectified, strict=True)
    # A dictionary, because a list of one output comes back as that output alone.
    peaks_of = keras.Model(
        network.input,
        {str(index): ops.max(_per_unit(each), axis=0) for index, each in enumerate(outputs)},
    )
    peaks = [np.full(output.shape[-1], -np.inf) for output in outputs]
    for start in range(0, len(images), _COVERS_AT_A_TIME):
        batch = tf.constant(images[start : start + _COVERS_AT_A_TIME])
        highest = peaks_of(batch, training=False)
        peaks = [np.maximum(peak, highest[str(index)]) for index, peak in enumerate(peaks)]
    return [
        LayerActivity(name, len(peak), float((peak <= 0.0).mean()))
        for name, peak in zip(names, peaks, strict=True)
    ]


def check_activity(activity: list[LayerActivity]) -> list[Finding]:
    """Finds layers of which a large part is dead."""
    dead = [layer for layer in activity if layer.dead_share >= _DEAD_SHARE]
    if not dead:
        return []
    listed = ", ".join(f"{layer.name} {100 * layer.dead_share:.0f}%" for layer in dead)
    return [
        Finding(
            "dead_units",
            "warning",
            f"Some units are zero on every cover, so no gradient reaches them: {listed}.",
            "Lower the learning rate, warm it up (trainer.learning_rate_schedule: {name: cosine, "
            "warmup_epochs: 2}), and put BatchNormalization between each convolution and its ReLU.",
            {f"dead_share_{layer.name}": layer.dead_share for layer in dead},
        )
    ]


def gradient_norms(
    network: keras.Model, loss: Any, images: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Returns the norm of the loss's gradient for each trainable variable, by its path.

    Args:
        network: as in `layer_activity`.
        loss: maps labels and probabilities to losses.
        images: what the network takes, such as (covers, size, size, 3), pixels 0 to 255.
        labels: float32, shape (covers, genres).
    """
    variables = network.trainable_variables
    values = [variable.value for variable in variables]
    sums: list[Any] = [None] * len(variables)
    for start in range(0, len(images), _COVERS_AT_A_TIME):
        batch = slice(start, start + _COVERS_AT_A_TIME)
        share = len(images[batch]) / len(images)
        # Without the frozen variables, of which a tape would keep everything that they touch.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            probabilities = network(tf.constant(images[batch]), training=False)
            value = share * tf.reduce_mean(loss(tf.constant(labels[batch]), probabilities))
        for index, gradient in enumerate(tape.gradient(value, values)):
            if gradient is not None:
                sums[index] = gradient if sums[index] is None else sums[index] + gradient
    return {
        variable.path: float(tf.norm(gradient)) if gradient is not None else 0.0
        for variable, gradient in zip(variables, sums, strict=True)
    }


def check_gradients(norms: dict[str, float]) -> list[Finding]:
    """Finds gradients that vanish or explode."""
    total = float(np.sqrt(sum(norm**2 for norm in norms.values())))
    silent = sum(norm == 0.0 for norm in norms.values())
    numbers = {"gradient_norm": total, "silent_variables": float(silent), "variables": len(norms)}
    if total < _WEAKEST_GRADIENT:
        return [
            Finding(
                "vanishing_gradients",
                "warning",
                f"The gradient has a norm of {total:.1e}, and is zero for {silent} of {len(norms)} "
                "variables: the network can no longer learn.",
                "Train again with a lower learning rate and batch normalisation.",
                numbers,
            )
        ]
    if not np.isfinite(total) or total > _STRONGEST_GRADIENT:
        return [
            Finding(
                "exploding_gradients",
                "warning",
                f"The gradient has a norm of {total:.1e}.",
                "Lower the learning rate, or clip: trainer.optimizer: {AdamW: {global_clipnorm: "
                "1}}.",
                numbers,
            )
        ]
    return []


def check_saturation(probabilities: np.ndarray) -> list[Finding]:
    """Finds sigmoid outputs so near 0 or 1 that they hardly pass a gradient."""
    extreme = (probabilities < _SATURATED) | (probabilities > 1.0 - _SATURATED)
    share = float(extreme.mean())
    if share < _SATURATED_SHARE:
        return []
    return [
        Finding(
            "saturated_outputs",
            "warning",
            f"{100 * share:.0f}% of the probabilities are below {_SATURATED} or above "
            f"{1 - _SATURATED}: the sigmoid hardly passes a gradient there.",
            "Lower the learning rate, or smooth the labels: trainer.loss: {BinaryCrossentropy: "
            "{label_smoothing: 0.1}}.",
            {"saturated_share": share},
        )
    ]


def _rectified(network: keras.Model) -> list[tuple[str, Any]]:
    found = []
    features = network.input
    for layer in network.layers[1:]:
        features = layer(features)
        if _is_rectified(layer):
            found.append((layer.name, features))
    return found


def _is_rectified(layer: keras.Layer) -> bool:
    activation = getattr(layer, "activation", None)
    return isinstance(layer, keras.layers.ReLU) or activation in (
        keras.activations.relu,
        keras.activations.relu6,
    )


def _per_unit(output: Any) -> Any:
    """Maps (batch, ..., units) to (batch * ..., units)."""
    return ops.reshape(output, (-1, output.shape[-1]))
