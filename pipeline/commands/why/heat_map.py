"""What a decision rests on, by occlusion: parts of the cover are hidden, and the model asked again.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014). It needs nothing
of a model but its answers, so it fits any network; docs/why.md compares it with others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

CELLS = 8
"""A map has so many cells on each side."""

_WINDOW = 2  # cells on each side that are hidden at once
_BLUR = 1 / 16  # of the side of the cover
_LEAST_PROBABILITY = 1e-4
_LEAST_FALL = 0.02  # of log-odds
_THIRDS = ("upper", "middle", "lower"), ("left", "middle", "right")

Ask = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
"""Maps covers, uint8 (batch, side, side, 3), to probabilities (batch, genres)."""


@dataclasses.dataclass(frozen=True)
class HeatMaps:
    """How much each part of a cover speaks for each genre.

    Attributes:
        cells: by how much the log-odds of a genre fall if a cell is hidden, on average over the
            windows that cover it; below 0 where the part speaks against the genre. float64
            (genres, CELLS, CELLS).
        lowest: probability with that window hidden which speaks most for the genre, (genres,).
        places: row and column of the first cell of that window, int64 (genres, 2).
    """

    cells: npt.NDArray[np.float64]
    lowest: npt.NDArray[np.float64]
    places: npt.NDArray[np.int64]

    def speaks_for(self, genre: int) -> bool:
        """Tells whether hiding some part makes a genre less probable."""
        return bool(self.cells[genre].max() > _LEAST_FALL)

    def strongest(self, genre: int) -> str:
        """Returns where in the cover the window is that speaks most for a genre, in words."""
        row, column = (int(first) + _WINDOW // 2 for first in self.places[genre])
        down, across = (
            _THIRDS[axis][place * 3 // CELLS] for axis, place in ((0, row), (1, column))
        )
        return "middle" if down == across else f"{down} {across}"


def heat_maps(pixels: npt.NDArray[np.uint8], ask: Ask) -> HeatMaps:
    """Returns the maps of all genres; the model is asked once for each of 49 windows.

    A window is hidden by a strongly blurred copy of the cover, which leaves its colours and adds no
    edges.

    Args:
        pixels: the cover as the network sees it, uint8 (side, side, 3).
        ask: the model.
    """
    starts = range(CELLS - _WINDOW + 1)
    windows = [(row, column) for row in starts for column in starts]
    hidden = blurred(pixels)
    answers = ask(np.stack([pixels, *(_hide(pixels, hidden, each) for each in windows)]))
    odds = log_odds(answers)
    falls = odds[0] - odds[1:]
    total = np.zeros((CELLS, CELLS, answers.shape[1]))
    count = np.zeros((CELLS, CELLS, 1))
    for (row, column), fall in zip(windows, falls, strict=True):
        total[row : row + _WINDOW, column : column + _WINDOW] += fall
        count[row : row + _WINDOW, column : column + _WINDOW] += 1
    places = np.array(windows)[answers[1:].argmin(axis=0)]
    return HeatMaps((total / count).transpose(2, 0, 1), answers[1:].min(axis=0), places)


def _hide(
    pixels: npt.NDArray[np.uint8], under: npt.NDArray[np.uint8], window: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    side = len(pixels)
    rows, columns = (
        slice(first * side // CELLS, (first + _WINDOW) * side // CELLS) for first in window
    )
    hidden = pixels.copy()
    hidden[rows, columns] = under[rows, columns]
    return hidden


def blurred(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Returns a cover of which little but the colours is left."""
    radius = max(1.0, len(pixels) * _BLUR)
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def log_odds(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns log-odds, finite for 0 and 1 as well."""
    bounded = np.clip(probabilities, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.asarray(np.log(bounded / (1 - bounded)))
