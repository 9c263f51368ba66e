"""Checks one image and states its facts: format, size, identity, brightness, perceptual hash.

Plain JPEGs are decoded by simplejpeg (libjpeg-turbo) in grey at an eighth to the full size: every
coded byte is read, and whatever libjpeg only warns of is an error here. All else is decoded by
TensorFlow, whose decoder the model has. `benchmarks/ingest.py` compares the decoders.
"""

from __future__ import annotations

import dataclasses
import hashlib

import imagehash
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from components.cover_example_gen.headers import Header, read_header
from components.quarantine import Reason, RowRejected

LARGEST_PIXELS = 25_000_000

HASH_BITS = 256
_HASH_SIDE = 16
_FREQUENCIES = 2  # the hash reads the lower half of the image's frequencies in each direction
_HASHED_SIDE = _FREQUENCIES * _HASH_SIDE
_DECODED_SIDE = 64  # decoded small, never smaller than this
_OPAQUE = 255


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What is known of a decodable image.

    Attributes:
        image_id: sha256 of the encoded bytes, hex.
        format: `JPEG` or `PNG`.
        width: pixels, as stored.
        height: pixels, as stored.
        size: bytes of the encoded file.
        orientation: EXIF orientation, 1 (upright) to 8; recorded, not applied.
        brightness: mean grey level, 0 (black) to 1 (white).
        perceptual_hash: 32 bytes, the 256-bit DCT perceptual hash (pHash).
    """

    image_id: str
    format: str
    width: int
    height: int
    size: int
    orientation: int
    brightness: float
    perceptual_hash: bytes


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
        RowRejected: the bytes are not an image that the model would see rightly.
    """
    if not encoded:
        raise RowRejected(Reason.EMPTY_FILE, "Expected an image. Received: 0 bytes.")
    header = read_header(encoded)
    if header.format not in formats:
        raise RowRejected(
            Reason.UNSUPPORTED_FORMAT,
            f"Expected one of the formats {', '.join(formats)}. Received: {header.format}.",
        )
    _check_size(header, smallest_side, largest_side)
    gray = _decode_gray(encoded, header)
    return ImageFacts(
        image_id=hashlib.sha256(encoded).hexdigest(),
        format=header.format,
        width=header.width,
        height=header.height,
        size=len(encoded),
        orientation=header.orientation,
        brightness=round(int(gray.sum(dtype=np.int64)) / gray.size / 255, 4),
        perceptual_hash=_perceptual_hash(gray),
    )


def _check_size(header: Header, smallest_side: int, largest_side: int) -> None:
    width, height = header.width, header.height
    if min(width, height) < smallest_side or max(width, height) > largest_side:
        expected = f"sides of {smallest_side} to {largest_side} pixels"
    elif width * height > LARGEST_PIXELS:
        expected = f"at most {LARGEST_PIXELS:,} pixels"
    else:
        return
    raise RowRejected(
        Reason.IMAGE_SIZE_OUT_OF_RANGE, f"Expected {expected}. Received: {width} x {height}."
    )


def _decode_gray(encoded: bytes, header: Header) -> NDArray[np.uint8]:
    if header.format == "JPEG" and header.channels <= 3:
        try:
            return simplejpeg.decode_jpeg(
                encoded,
                "GRAY",
                min_height=_DECODED_SIDE,
                min_width=_DECODED_SIDE,
                min_factor=4,
                strict=True,
            )[:, :, 0]
        except ValueError as error:
            raise _undecodable(str(error)) from error
    return np.asarray(Image.fromarray(_decode_as_the_model(encoded, header)).convert("L"))


def _decode_as_the_model(encoded: bytes, header: Header) -> NDArray[np.uint8]:
    import tensorflow as tf

    channels = 4 if header.may_be_transparent else 3
    try:
        pixels = tf.io.decode_image(encoded, channels=channels, expand_animations=False).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise _undecodable("bytes that the model's decoder refuses") from error
    if channels == 4 and pixels[:, :, 3].min() < _OPAQUE:
        raise RowRejected(
            Reason.TRANSPARENT_IMAGE,
            "Expected an opaque image. Received: transparent pixels, behind which the model would "
            "see colours that nobody sees. Put the cover on a background.",
        )
    return np.ascontiguousarray(pixels[:, :, :3])


def _perceptual_hash(gray: NDArray[np.uint8]) -> bytes:
    # Pillow's bilinear filter widens as it reduces: it does not alias.
    small = Image.fromarray(gray).resize((_HASHED_SIDE, _HASHED_SIDE), Image.Resampling.BILINEAR)
    return np.packbits(imagehash.phash(small, _HASH_SIDE, _FREQUENCIES).hash).tobytes()


def _undecodable(problem: str) -> RowRejected:
    return RowRejected(
        Reason.UNDECODABLE_IMAGE, f"Expected a complete, undamaged image. Received: {problem}."
    )
