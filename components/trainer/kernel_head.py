"""A kernel beside the layers after frozen backbones: both predict, and their logits are weighed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from components.trainer.head import join_scores
from components.trainer.kernel_ridge import FittedKernel, empty_layer

_NEVER_CERTAIN = 1e-6
_START = (0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """How logits of a network and scores of a kernel become logits of both.

    Attributes:
        network: weight of the network's logits, at least 0.
        kernel: weight of the kernel's scores, at least 0.
        shifts: float64, shape (genres,): what is added.
    """

    network: float
    kernel: float
    shifts: np.ndarray

    def apply(self, probabilities: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Maps both predictions, each (covers, genres), to probabilities, float32."""
        outputs = self.network * _logits(probabilities) + self.kernel * scores + self.shifts
        return expit(outputs).astype(np.float32)


def fit_mixture(labels: np.ndarray, probabilities: np.ndarray, scores: np.ndarray) -> Mixture:
    """Finds the mixture with the least cross-entropy: one weight each for all genres.

    Args:
        labels: float32, shape (covers, genres), 0 or 1.
        probabilities: of a network, for covers that it was not trained on; the same shape.
        scores: of a kernel, for covers that it was not fitted to; the same shape.
    """
    logits = _logits(probabilities)
    genres = labels.shape[1]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        outputs = parameters[0] * logits + parameters[1] * scores + parameters[2:]
        errors = expit(outputs) - labels
        entropy = np.mean(np.logaddexp(0.0, outputs) - labels * outputs)
        weights = [np.mean(errors * logits), np.mean(errors * scores)]
        return float(entropy), np.array([*weights, *errors.mean(axis=0) / genres])

    start = np.array([*_START, *np.zeros(genres)])
    bounds = [(0.0, None)] * 2 + [(None, None)] * genres
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Mixture(float(found[0]), float(found[1]), found[2:])


def with_kernel(network: keras.Model, kernel: FittedKernel, mixture: Mixture) -> keras.Model:
    """Returns a network that predicts what the mixture makes of both; it shares the layers."""
    joined = join_scores(network, kernel.layer())
    weights, bias = network.layers[-1].get_weights()
    own = mixture.kernel * np.eye(len(bias), dtype=np.float32)
    joined.layers[-1].set_weights(
        [
            np.concatenate([mixture.network * weights, own]),
            mixture.network * bias + mixture.shifts,
        ]
    )
    return joined


def with_empty_kernel(network: keras.Model, record: Mapping[str, Any]) -> keras.Model:
    """Returns a network of the same layers as `with_kernel`, to be filled with weights.

    Args:
        network: as it was trained.
        record: what `describe` says of the kernel.
    """
    genres = network.output_shape[-1]
    layer = empty_layer(record["centres"], record["components"], genres, record["gamma"])
    return join_scores(network, layer)


def describe(kernel: FittedKernel, mixture: Mixture) -> dict[str, Any]:
    """Returns what `history.json` says of a kernel: its size, and the weights of the mixture."""
    centres, components = kernel.centres.shape
    return {
        "centres": centres,
        "components": components,
        "gamma": kernel.gamma,
        "weight_of_network": mixture.network,
        "weight_of_kernel": mixture.kernel,
    }


def _logits(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities.astype(np.float64), _NEVER_CERTAIN, 1.0 - _NEVER_CERTAIN)
    return logit(clipped)
