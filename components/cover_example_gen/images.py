"""Checks one image and states its facts: format, size, identity and perceptual hash."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import warnings

import imagehash
import numpy as np
from PIL import Image, UnidentifiedImageError

from components.quarantine import Reason

_COARSE_HASH_SIDE = 8
_FINE_HASH_SIDE = 16
_LARGEST_HASHED_SIDE = 512


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What is known of a decodable image.

    Attributes:
        image_id: sha256 of the encoded bytes, hex.
        format: Pillow's name of the format, such as JPEG.
        width: pixels.
        height: pixels.
        size: bytes of the encoded file.
        coarse_hash: 8 bytes, the 64-bit DCT perceptual hash.
        fine_hash: 32 bytes, the 256-bit DCT perceptual hash.
    """

    image_id: str
    format: str
    width: int
    height: int
    size: int
    coarse_hash: bytes
    fine_hash: bytes


class ImageRejected(Exception):
    """The image cannot become an example; carries the reason and the detail."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def inspect_image(
    encoded: bytes, *, formats: tuple[str, ...], smallest_side: int, largest_side: int
) -> ImageFacts:
    """Decodes an image completely and returns its facts.

    Format and size are judged from the header, before anything is decoded.

    Args:
        encoded: the file's bytes.
        formats: accepted formats, as the schema names them.
        smallest_side: least accepted width and height, pixels.
        largest_side: greatest accepted width and height, pixels.

    Raises:
        ImageRejected: the bytes are not an acceptable image.
    """
    if not encoded:
        raise ImageRejected(Reason.EMPTY_FILE, "Expected an image. Received: 0 bytes.")
    image = _open(encoded)
    image_format, (width, height) = str(image.format), image.size
    if image_format not in formats:
        raise ImageRejected(
            Reason.UNSUPPORTED_FORMAT,
            f"Expected one of the formats {', '.join(formats)}. Received: {image_format}.",
        )
    if min(width, height) < smallest_side or max(width, height) > largest_side:
        raise ImageRejected(
            Reason.IMAGE_SIZE_OUT_OF_RANGE,
            f"Expected sides of {smallest_side} to {largest_side} pixels. "
            f"Received: {width} x {height}.",
        )
    gray = _decode_gray(image)
    return ImageFacts(
        image_id=hashlib.sha256(encoded).hexdigest(),
        format=image_format,
        width=width,
        height=height,
        size=len(encoded),
        coarse_hash=_perceptual_hash(gray, _COARSE_HASH_SIDE),
        fine_hash=_perceptual_hash(gray, _FINE_HASH_SIDE),
    )


def _open(encoded: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(encoded))
    except UnidentifiedImageError as error:
        raise ImageRejected(
            Reason.NOT_AN_IMAGE,
            f"Expected an image. Received: {len(encoded)} bytes that start with {encoded[:12]!r}.",
        ) from error
    except Exception as error:  # Pillow's header parsers raise anything on hostile bytes
        raise ImageRejected(Reason.UNDECODABLE_IMAGE, _describe(error)) from error


def _decode_gray(image: Image.Image) -> Image.Image:
    # Draft mode decodes a large JPEG at 1/2, 1/4 or 1/8, yet reads every coded byte of it.
    image.draft("L", (_LARGEST_HASHED_SIDE, _LARGEST_HASHED_SIDE))
    try:
        image.load()
        return image.convert("L")
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error ...
        raise ImageRejected(Reason.UNDECODABLE_IMAGE, _describe(error)) from error


def _perceptual_hash(gray: Image.Image, side: int) -> bytes:
    bits = imagehash.phash(gray, hash_size=side).hash
    return np.packbits(bits).tobytes()


def _describe(error: Exception) -> str:
    return f"Expected a complete image. Received: {type(error).__name__}: {error}."
