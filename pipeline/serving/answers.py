"""An answer of the model for one image, as all protocols give it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from components.cover_example_gen.images import ImageFacts


@dataclasses.dataclass(frozen=True)
class Answered:
    """What the model said of one image.

    Attributes:
        image: the bytes that the model saw: the client's, or the converted image.
        facts: what checking the client's image found.
        probabilities: float32, shape (genres,).
        decisions: int64, 0 or 1, shape (genres,).
        version: of the model that answered.
    """

    image: bytes
    facts: ImageFacts
    probabilities: NDArray[np.float32]
    decisions: NDArray[np.int64]
    version: int


def decimals(values: Iterable[np.float32]) -> list[float]:
    """Returns float32 values with as many digits as TensorFlow Serving writes: six, else nine."""
    return [_decimal(value) for value in values]


def _decimal(value: np.float32) -> float:
    short = float(f"{value:.6g}")
    return short if np.float32(short) == value else float(f"{value:.9g}")
