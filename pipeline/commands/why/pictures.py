"""Covers with a heat map on them, as pictures inside a page."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 264

_FOR = np.array((235, 94, 0))
_AGAINST = np.array((30, 110, 235))
_STRONGEST = 0.75  # opacity of the strongest part
_GREY = 0.6  # how much of the cover's colour is taken, so that the map's stands out
_QUALITY = 80


def heat_picture(encoded: bytes, cells: npt.NDArray[np.float64], strongest: float) -> str:
    """Returns a cover with a map on it as a `data:` URI.

    Args:
        encoded: the cover.
        cells: what speaks for a genre (above 0) and against it, square.
        strongest: the absolute value that has the full colour.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        colour = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    grey = colour.convert("L").convert("RGB")
    muted = np.asarray(Image.blend(colour, grey, _GREY), np.float64)
    scaled = np.clip(cells / max(strongest, 1e-9), -1, 1).astype(np.float32)
    smooth = np.asarray(Image.fromarray(scaled).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    opacity = np.abs(np.clip(smooth, -1, 1))[..., None] * _STRONGEST
    tint = np.where(smooth[..., None] > 0, _FOR, _AGAINST)
    blended = (1 - opacity) * muted + opacity * tint
    buffer = io.BytesIO()
    Image.fromarray(blended.round().astype(np.uint8)).save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
