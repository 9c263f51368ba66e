"""Turns images that the model would not see as people do into PNGs that it sees so.

TensorFlow decodes JPEG and PNG, ignores EXIF orientation, and drops transparency. What differs is
decoded by Pillow, put on the background, turned upright, and written again without loss. Training,
evaluation and `covers predict` use this one function; it gives the same bytes for the same image.
"""

from __future__ import annotations

import functools
import importlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from components.contracts.quarantine import Reason, RowRejected

# Only the plug-in of a format ever sees its bytes: `Image.open` would try others, too.
_PLUGINS = {
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "HEIC": ("pillow_heif", "HeifImageFile"),
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "JPEG 2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
}
CONVERTIBLE_FORMATS = frozenset(_PLUGINS)
CONVERTED_FORMAT = "PNG"
TRANSPARENT = "transparent"

_ORIENTATION_TAG = 0x0112
_OPAQUE = 255
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
# What Pillow turns into RGB as every viewer does; not 32-bit grey or CIE L*a*b*, for example.
_PLAIN_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_COMPRESSION = 1  # the time matters more: the bytes are written once and read from a local disk


def open_image(encoded: bytes, image_format: str) -> ImageFile.ImageFile:
    """Reads an image's header by the plug-in of its format; nothing is decoded.

    Raises:
        RowRejected: the bytes are no image of this format.
    """
    return _guarded(lambda: _plugin(image_format)(io.BytesIO(encoded)))


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 (upright) to 8."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken EXIF is no reason to reject the image it is attached to
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def is_transparent(encoded: bytes, image_format: str) -> bool:
    """Tells whether any pixel lets the background through.

    Raises:
        RowRejected: the image cannot be decoded.
    """

    def decode() -> bool:
        image = open_image(encoded, image_format)
        if not image.has_transparency_data:
            return False
        if image.mode in _SIXTEEN_BITS:
            return bool(_is_clear(image).any())
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        return bool(alpha.min() < _OPAQUE)

    return _guarded(decode)


def convert(encoded: bytes, image_format: str, background: str) -> bytes:
    """Returns the image as an RGB PNG: its first frame, upright, on the background.

    Args:
        encoded: the file's bytes.
        image_format: one of `CONVERTIBLE_FORMATS`.
        background: a colour as CSS writes it, such as `#ffffff`.

    Raises:
        RowRejected: the image cannot be decoded, or its colours could be read in several ways.
    """

    def decode() -> bytes:
        image = open_image(encoded, image_format)
        image.load()
        upright = ImageOps.exif_transpose(image)
        rgb = _as_rgb(upright, background, keeps_alpha=image_format != "BMP")
        out = io.BytesIO()
        # Without the colour profile, texts and EXIF of the original.
        Image.fromarray(np.asarray(rgb)).save(out, CONVERTED_FORMAT, compress_level=_COMPRESSION)
        return out.getvalue()

    return _guarded(decode)


def _as_rgb(image: Image.Image, background: str, *, keeps_alpha: bool) -> Image.Image:
    if image.mode in _SIXTEEN_BITS:
        gray = (np.asarray(image, np.uint16) >> 8).astype(np.uint8)
        rgb = Image.fromarray(gray).convert("RGB")
        if image.has_transparency_data:
            rgb.paste(background, mask=Image.fromarray(_is_clear(image)))
        return rgb
    if image.mode not in _PLAIN_MODES:
        raise RowRejected(
            Reason.UNSUPPORTED_COLOURS,
            f"Expected grey, RGB or CMYK colours. Received: colours of mode {image.mode}, which "
            "have no single meaning as RGB. Save the image as RGB.",
        )
    # Bitmaps often have a fourth byte that means nothing.
    if not keeps_alpha or not image.has_transparency_data:
        return image.convert("RGB")
    below = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(below, image.convert("RGBA")).convert("RGB")


def _is_clear(image: Image.Image) -> NDArray[np.bool_]:
    """Tells which 16-bit grey pixels have the transparent grey level: Pillow ignores it."""
    return np.asarray(image, np.uint16) == image.info["transparency"]


@functools.cache
def _plugin(image_format: str) -> Callable[[io.BytesIO], Any]:
    module, name = _PLUGINS[image_format]
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _guarded(decode: Callable[[], Any]) -> Any:
    """Runs a decoder; whatever it raises on hostile bytes is a reason to set the row aside."""
    try:
        return decode()
    except (RowRejected, MemoryError):
        raise
    except Exception as error:
        raise RowRejected(
            Reason.UNDECODABLE_IMAGE,
            f"Expected a complete image. Received: {type(error).__name__}: {error}.",
        ) from error
