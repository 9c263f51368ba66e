"""What can be measured of a cover without a trained network: colours, edges, strokes, patterns.

Histograms whose bins overlap, of the whole cover and of the cells of grids, at several sizes of the
cover. Nothing is counted by steps, so that a little noise, or another processor, changes little.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

_LEVELS = 4
_GRIDS = (1, 3, 6)
_SMALLEST = 2 ** (_LEVELS - 1) * (_GRIDS[-1] + 2)
_TINY = 1e-8

_RED_GREEN_BLUE_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
)
_DARKEST = 0.008856  # below which the cube root gives way to a line
_DIRECTIONS = 8
_CONTRASTS = (-6.5, 0.0, 12)  # logarithms of what is at most one
_NEIGHBOURS = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
# The order of directions, and of patterns, in a mirror image.
_MIRRORED_DIRECTIONS = [-number % _DIRECTIONS for number in range(_DIRECTIONS)]
_STEEPNESS = 25.0  # a neighbour is higher for sure by 3 of 100 parts
_AS_HIGH = 0.25


@keras.saving.register_keras_serializable(package="covers")
class ImageStatistics(keras.layers.Layer):
    """Statistics of images: (batch, h, w, 3), pixels 0 to 255, to (batch, n); without weights.

    - Colours: histograms of CIE L*a*b* (Swain and Ballard, "Color Indexing", 1991).
    - Edges: histograms of the directions of gradients (Dalal and Triggs, "Histograms of Oriented
      Gradients for Human Detection", 2005), and of their strength.
    - Strokes and spots: the same of second derivatives, bright and dark apart.
    - Patterns: local binary patterns (Ojala, Pietikainen and Maenpaa, 2002), of brighter and darker
      neighbours.
    - Edges and patterns of the two hues, red to green and blue to yellow.

    Taken from the whole and from cells (Lazebnik, Schmid and Ponce, "Beyond Bags of Features",
    2006), as square roots of shares, whose products compare histograms well. A cover and its mirror
    image have the same statistics, so that fewer covers are needed to learn from them.

    Raises:
        ValueError: images are too small to be halved three times and divided into cells.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, images: Any) -> Any:
        brightness = ops.mean(images, axis=-1, keepdims=True) / 255.0
        lab = _lab(_half(images) / 255.0)
        hues = lab[..., 1:] / 2.0
        found = _colours(lab)
        for level in range(_LEVELS):
            if level:
                brightness = _half(brightness)
            found += [*_edges(brightness, _GRIDS), *_strokes(brightness), _patterns(brightness)]
            if level > 1:
                hues = _half(hues)
            for hue in ops.split(hues, 2, axis=-1) if level else ():
                found += [*_edges(hue, _GRIDS[:2]), _patterns(hue)]
        return ops.concatenate(found, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        sides = [side for side in input_shape[1:3] if side is not None]
        if min(sides, default=_SMALLEST) < _SMALLEST:
            raise ValueError(f"ImageStatistics needs images of at least {_SMALLEST} px.")
        return input_shape[0], _length()


@functools.cache
def _length() -> int:
    """Returns how many statistics there are, whatever the size."""
    image = keras.KerasTensor((1, _SMALLEST, _SMALLEST, 3))
    return int(ImageStatistics().call(image).shape[-1])


def _half(maps: Any) -> Any:
    return ops.average_pool(maps, 2, 2, "valid")


def _lab(image: Any) -> Any:
    """Turns sRGB, 0 to 1, into L*a*b*: lightness from 0 to 1, the others around 0, below 1."""
    linear = ops.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    to_xyz = _RED_GREEN_BLUE_TO_XYZ / _RED_GREEN_BLUE_TO_XYZ.sum(axis=1, keepdims=True)
    xyz = ops.matmul(linear, to_xyz.T)
    root = ops.maximum(xyz, _DARKEST) ** (1 / 3)
    x, y, z = ops.split(ops.where(xyz > _DARKEST, root, 7.787 * xyz + 16 / 116), 3, axis=-1)
    return ops.concatenate([1.16 * y - 0.16, 5.0 * (x - y), 2.0 * (y - z)], axis=-1)


def _colours(lab: Any) -> list[Any]:
    lightness, green_red, blue_yellow = ops.split(lab, 3, axis=-1)
    hues = [_bins(each, -0.6, 0.6, 7) for each in (green_red, blue_yellow)]
    coarse = [_bins(each, -0.5, 0.5, 5) for each in (green_red, blue_yellow)]
    apart = [_bins(lightness, 0.0, 1.0, 8), *hues, _pairs(*coarse)]
    together = _joint(_pairs(*hues), _bins(lightness, 0.0, 1.0, 6))
    return [_root(together), *_in_cells(ops.concatenate(apart, axis=-1), (1, 2, 3))]


def _edges(values: Any, grids: tuple[int, ...]) -> list[Any]:
    right = (values[:, 1:-1, 2:] - values[:, 1:-1, :-2]) / 2.0
    down = (values[:, 2:, 1:-1] - values[:, :-2, 1:-1]) / 2.0
    strength = ops.sqrt(right * right + down * down + _TINY)
    # Doubled, the angles of opposite directions are the same.
    doubled = [(right * right - down * down) / strength, 2.0 * right * down / strength]
    edges = _in_cells(_by_direction(*doubled), grids, _MIRRORED_DIRECTIONS)
    contrasts = _bins(ops.log(strength + 1e-3), *_CONTRASTS)
    return [*edges, *_in_cells(contrasts, _GRIDS[:2])]


def _strokes(brightness: Any) -> list[Any]:
    middle = brightness[:, 1:-1, 1:-1]
    across = brightness[:, 1:-1, 2:] + brightness[:, 1:-1, :-2] - 2.0 * middle
    along = brightness[:, 2:, 1:-1] + brightness[:, :-2, 1:-1] - 2.0 * middle
    oblique = brightness[:, 2:, 2:] + brightness[:, :-2, :-2]
    oblique = (oblique - brightness[:, 2:, :-2] - brightness[:, :-2, 2:]) / 4.0
    spots = [ops.relu(across + along), ops.relu(-across - along)]
    strokes = _by_direction((across - along) / 2.0, oblique)
    mirrored = [*_MIRRORED_DIRECTIONS, _DIRECTIONS, _DIRECTIONS + 1]
    return _in_cells(ops.concatenate([strokes, *spots], axis=-1), _GRIDS[:2], mirrored)


def _patterns(values: Any) -> Any:
    """Returns how often each of the 256 combinations of higher and lower neighbours occurs."""
    height, width = values.shape[1] - 2, values.shape[2] - 2
    middle = values[:, 1:-1, 1:-1]
    higher = []
    for top, left in _NEIGHBOURS:
        neighbour = values[:, top : top + height, left : left + width]
        share = ops.clip((neighbour - middle) * _STEEPNESS + _AS_HIGH, 0.0, 1.0)
        higher.append(ops.concatenate([1.0 - share, share], axis=-1))
    two = [_pairs(*higher[first : first + 2]) for first in range(0, len(higher), 2)]
    shares = _joint(_pairs(*two[:2]), _pairs(*two[2:]))
    return _root((shares + ops.take(shares, _mirrored_patterns(), axis=-1)) / 2.0)


def _mirrored_patterns() -> np.ndarray:
    """Returns, for each pattern, the number of its mirror image: int64, shape (256,)."""
    places = 2 ** np.arange(len(_NEIGHBOURS))[::-1]
    is_higher = np.arange(2 ** len(_NEIGHBOURS))[:, None] // places % 2
    return is_higher[:, [_NEIGHBOURS.index((top, 2 - left)) for top, left in _NEIGHBOURS]] @ places


def _by_direction(cosine: Any, sine: Any) -> Any:
    """Spreads vectors of doubled angles over overlapping sectors, by their length."""
    angles = 2.0 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    vectors = ops.concatenate([cosine, sine], axis=-1)
    lengths = ops.sqrt(ops.sum(vectors * vectors, axis=-1, keepdims=True) + _TINY)
    sectors = np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    near = ops.square(ops.relu(ops.matmul(vectors / lengths, sectors)))
    return lengths * ops.square(near)


def _bins(values: Any, lowest: float, highest: float, count: int) -> Any:
    """Gives each value, (..., 1), to the two bins around it, by how near it is: (..., count)."""
    places = (ops.clip(values, lowest, highest) - lowest) * ((count - 1) / (highest - lowest))
    return ops.relu(1.0 - ops.abs(places - np.arange(count, dtype=np.float32)))


def _pairs(first: Any, second: Any) -> Any:
    """Multiplies each channel of one with each channel of the other."""
    products = first[..., :, None] * second[..., None, :]
    return ops.reshape(products, (-1, *first.shape[1:3], first.shape[-1] * second.shape[-1]))


def _joint(first: Any, second: Any) -> Any:
    """Returns the mean over the image of each product of two channels."""
    products = ops.einsum("bhwi,bhwj->bij", first, second) / (first.shape[1] * first.shape[2])
    return ops.reshape(products, (-1, first.shape[-1] * second.shape[-1]))


def _in_cells(maps: Any, grids: tuple[int, ...], mirrored: list[int] | None = None) -> list[Any]:
    """Returns the root of the mean of each channel in each cell of each grid, and of its mirror's.

    Args:
        maps: shape (batch, h, w, n).
        grids: how many cells a side has.
        mirrored: which channel each becomes in a mirror image; None for the same.
    """
    vectors = []
    for cells in grids:
        sides = maps.shape[1] // cells, maps.shape[2] // cells
        # What does not fill the cells is left out at all edges alike.
        top, left = (whole % cells // 2 for whole in maps.shape[1:3])
        means = ops.average_pool(maps[:, top:, left:], sides, sides, "valid")[:, :cells, :cells]
        flipped = ops.flip(means, axis=2)
        if mirrored:
            flipped = ops.take(flipped, mirrored, axis=-1)
        means = (means + flipped) / 2.0
        vectors.append(_root(ops.reshape(means, (-1, cells * cells * maps.shape[-1]))))
    return vectors


def _root(shares: Any) -> Any:
    return ops.sqrt(shares + _TINY)
