"""Kernel ridge regression on the features of covers: fitted in closed form, served as a layer.

A kernel sees each cover by its similarity to others, which a network of one hidden layer does not;
so the two err on different covers, and together on fewer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from scipy.linalg import solve
from sklearn.decomposition import PCA

from components.trainer.config import KernelRidge

_SEED = 0
_COVERS_AT_ONCE = 512
_TINY = 1e-6
_JITTER = 1e-6


@dataclasses.dataclass(frozen=True)
class FittedKernel:
    """Kernel ridge regression with a radial basis function, on principal components.

    Features are standardised and brought to length one, as are their components.

    Attributes:
        mean: float32, shape (features,): of each feature.
        scale: float32, shape (features,): one over its standard deviation.
        axes: float32, shape (features, components): the principal axes, to the precision of
            float16, in which the layer keeps them.
        origin: float32, shape (components,): what the axes make of the mean vector.
        centres: float32, shape (centres, components): covers that others are compared with.
        weights: float32, shape (centres, genres): what similarity to each is worth.
        gamma: the kernel is `exp(-gamma * squared distance)`.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    origin: np.ndarray
    centres: np.ndarray
    weights: np.ndarray
    gamma: float

    @property
    def arrays(self) -> list[np.ndarray]:
        """The weights of the layer, in its order."""
        return [self.mean, self.scale, self.axes, self.origin, self.centres, self.weights]

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Maps features (covers, n) to scores (covers, genres): how far above the genre's share."""
        parts = [self._kernel(features[rows]) @ self.weights for rows in _blocks(len(features))]
        return np.concatenate(parts)

    def layer(self) -> KernelScores:
        """Returns the layer that gives the same scores."""
        centres, components = self.centres.shape
        layer = empty_layer(centres, components, self.weights.shape[1], self.gamma)
        layer.build((None, len(self.mean)))
        layer.set_weights(self.arrays)
        return layer

    def _kernel(self, features: np.ndarray) -> np.ndarray:
        return _similarity(self._components(features), self.centres, self.gamma)

    def _components(self, features: np.ndarray) -> np.ndarray:
        standardized = _unit((features - self.mean) * self.scale)
        return _unit(standardized @ self.axes - self.origin)


@keras.saving.register_keras_serializable(package="covers")
class KernelScores(keras.layers.Layer):
    """What a `FittedKernel` makes of features: float32 (batch, n) to scores (batch, genres)."""

    def __init__(
        self, centres: int, components: int, genres: int, gamma: float, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.centres = centres
        self.components = components
        self.genres = genres
        self.gamma = gamma

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        features = input_shape[-1]
        shapes = {
            "mean": (features,),
            "scale": (features,),
            "axes": (features, self.components),
            "origin": (self.components,),
            "points": (self.centres, self.components),
            "worth": (self.centres, self.genres),
        }
        for name, shape in shapes.items():
            # The axes are the largest part of the model by far.
            dtype = "float16" if name == "axes" else "float32"
            weight = self.add_weight(shape, "zeros", dtype, trainable=False, name=name)
            setattr(self, name, weight)

    def call(self, features: Any) -> Any:
        ops = keras.ops
        standardized = _unit((features - self.mean) * self.scale, ops)
        axes = ops.cast(self.axes, "float32")
        components = _unit(ops.matmul(standardized, axes) - self.origin, ops)
        products = ops.matmul(components, ops.transpose(self.points))
        return ops.matmul(ops.exp(2.0 * self.gamma * (products - 1.0)), self.worth)

    def get_config(self) -> dict[str, Any]:
        own = ("centres", "components", "genres", "gamma")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def fit_kernel(features: np.ndarray, labels: np.ndarray, config: KernelRidge) -> FittedKernel:
    """Fits kernel ridge regression to labels, by least squares over all covers.

    Args:
        features: float32, shape (covers, n).
        labels: float32, shape (covers, genres), 0 or 1.
        config: with more covers than `centres`, a random part of them represents all (subset of
            regressors: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006).
    """
    random = np.random.default_rng(_SEED)
    few = len(features) > config.centres
    rows = np.arange(len(features))
    chosen = np.sort(random.choice(rows, config.centres, replace=False)) if few else rows
    mean, scale = _mean_and_scale(features)
    standardized = _unit((features[chosen] - mean) * scale)
    count = min(config.components, *standardized.shape)
    solver = "randomized" if count < min(standardized.shape) else "full"
    pca = PCA(count, svd_solver=solver, iterated_power=2, random_state=_SEED).fit(standardized)
    axes = np.ascontiguousarray(pca.components_.T, np.float16).astype(np.float32)
    origin = (pca.mean_ @ axes).astype(np.float32)
    centres = _unit(standardized @ axes - origin)
    share = labels.mean(axis=0)
    nothing = np.zeros((len(chosen), labels.shape[1]), np.float32)
    fitted = FittedKernel(mean, scale, axes, origin, centres, nothing, config.gamma)
    squares = config.penalty * _similarity(centres, centres, config.gamma).astype(np.float64)
    products = np.zeros(nothing.shape)
    for block in _blocks(len(features)):
        kernel = fitted._kernel(features[block]).astype(np.float64)
        squares += kernel.T @ kernel
        products += kernel.T @ (labels[block] - share)
    squares[np.diag_indices_from(squares)] += _JITTER * len(features)
    weights = solve(squares, products, assume_a="pos", overwrite_a=True)
    return dataclasses.replace(fitted, weights=weights.astype(np.float32))


def empty_layer(centres: int, components: int, genres: int, gamma: float) -> KernelScores:
    """Returns the layer before it has weights."""
    return KernelScores(centres, components, genres, gamma, name="kernel_scores")


def _mean_and_scale(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean of each feature and one over its deviation, 0 for one that never changes."""
    mean = features.mean(axis=0, dtype=np.float64)
    # Sums of float32 alone would make a feature of what is rounded.
    squares = np.zeros(mean.shape)
    for block in _blocks(len(features)):
        squares += np.sum(np.square(features[block] - mean), axis=0)
    deviation = np.sqrt(squares / len(features))
    varies = deviation > _TINY * np.maximum(1.0, np.abs(mean))
    scale = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0)
    return mean.astype(np.float32), scale.astype(np.float32)


def _blocks(covers: int) -> Iterator[slice]:
    return (slice(start, start + _COVERS_AT_ONCE) for start in range(0, covers, _COVERS_AT_ONCE))


def _unit(vectors: Any, numeric: Any = np) -> Any:
    length = numeric.sqrt(numeric.sum(vectors**2, axis=-1, keepdims=True))
    return vectors / numeric.maximum(length, _TINY)


def _similarity(first: np.ndarray, second: np.ndarray, gamma: float) -> np.ndarray:
    """Returns the radial basis function of each pair of unit vectors."""
    return np.exp(2.0 * gamma * (first @ second.T - 1.0))
