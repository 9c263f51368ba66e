"""The DCT perceptual hash (pHash) of many images at once.

The bits are those of ImageHash's `phash(image, hash_size=16, highfreq_factor=2)`, which takes one
image at a time and eight times as long; the tests compare the two.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image

HASH_BITS = 256
_HASH_SIDE = 16
_FREQUENCIES = 2  # the hash reads the lower half of the image's frequencies in each direction
_REDUCED_SIDE = _FREQUENCIES * _HASH_SIDE

_THUMBNAIL_SIDE = 8
_FLAT_EXTENT = 2  # grey levels; what rounding and coding make of one
_BITS_A_LEVEL = 12
_SEED = 256


def reduce_image(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduces a grey image, shape (height, width), to what the hash reads, shape (32, 32)."""
    # Pillow's bilinear filter widens as it reduces, so it does not alias.
    size = (_REDUCED_SIDE, _REDUCED_SIDE)
    return np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR))


def perceptual_hashes(reduced: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hashes reduced images, shape (n, 32, 32), to 256 bits each, packed to shape (n, 32).

    A bit says whether one of the lowest frequencies of the image is above their median.
    """
    vertical = scipy.fft.dct(reduced, axis=1)[:, :_HASH_SIDE]
    lowest = scipy.fft.dct(vertical, axis=2)[:, :, :_HASH_SIDE].reshape(-1, HASH_BITS)
    return np.packbits(lowest > np.median(lowest, axis=1, keepdims=True), axis=1)


def cover_hashes(reduced: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Hashes reduced images as `perceptual_hashes`, unless they are flat; says which those are.

    A flat image, one even grey level, has no frequencies, and those of its rounding say nothing: a
    black one and a white one differ in a single bit. Its hash says how bright it is instead: for
    each grey level between two of them up to 12 bits differ, and half of all bits from about 20.

    Returns:
        The hashes, shape (n, 32), and whether each image is flat, shape (n,).
    """
    hashes = perceptual_hashes(reduced)
    flat = reduced.max(axis=(1, 2)) - reduced.min(axis=(1, 2)) <= _FLAT_EXTENT
    if flat.any():
        levels = reduced[flat].mean(axis=(1, 2)).round().astype(np.intp)
        hashes[flat] = _brightness_hashes()[levels]
    return hashes, flat


def make_thumbnails(reduced: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the grey levels of reduced images on 8 x 8 squares, shape (n, 64)."""
    squares = reduced.reshape(len(reduced), _THUMBNAIL_SIDE, 4, _THUMBNAIL_SIDE, 4)
    return (squares.mean(axis=(2, 4)) + 0.5).astype(np.uint8).reshape(len(reduced), -1)


@functools.cache
def _brightness_hashes() -> NDArray[np.uint8]:
    """Returns a hash of each grey level, shape (256, 32)."""
    random = np.random.default_rng(_SEED)
    changes = np.zeros((256, HASH_BITS), np.uint8)
    changes[0] = random.integers(0, 2, HASH_BITS)
    for level in range(1, 256):
        changes[level, random.choice(HASH_BITS, _BITS_A_LEVEL, replace=False)] = 1
    return np.packbits(np.bitwise_xor.accumulate(changes), axis=1)
