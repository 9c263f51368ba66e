"""Checks images and extracts their facts: format, size, identity, brightness, perceptual hash.

Plain JPEGs are decoded by simplejpeg (libjpeg-turbo) in grey at an eighth to the full size: every
coded byte is read, and whatever libjpeg only warns about is an error here. All else is decoded by
TensorFlow, whose decoder the model uses. `benchmarks/ingest.py` compares the decoders.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.headers import Header, read_header
from components.cover_example_gen.perceptual_hash import (
    cover_hashes,
    make_thumbnails,
    reduce_image,
)

LARGEST_PIXELS = 25_000_000

_DECODED_SIDE = 64  # decoded small, never smaller than this
_OPAQUE = 255


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What is known about a decodable image.

    Attributes:
        image_id: sha256 of the encoded bytes, hex.
        format: `JPEG` or `PNG`.
        width: pixels, as stored.
        height: pixels, as stored.
        size: bytes of the encoded file.
        orientation: EXIF orientation, 1 (upright) to 8; recorded, not applied.
        brightness: mean grey level, 0 (black) to 1 (white).
        perceptual_hash: 32 bytes, the 256-bit DCT perceptual hash (pHash).
        thumbnail: 64 bytes, the grey levels of 8 x 8 squares.
        flat: whether the image is one even grey level, with nothing to see.
    """

    image_id: str
    format: str
    width: int
    height: int
    size: int
    orientation: int
    brightness: float
    perceptual_hash: bytes
    thumbnail: bytes = b""
    flat: bool = False


@dataclasses.dataclass(frozen=True)
class AcceptedImages:
    """Which images are accepted.

    Attributes:
        formats: names of formats, as in the schema.
        smallest_side: least width and height, pixels.
        largest_side: greatest width and height, pixels.
    """

    formats: tuple[str, ...]
    smallest_side: int
    largest_side: int


def inspect_image(encoded: bytes, accepted: AcceptedImages) -> ImageFacts:
    """Decodes an image completely and returns its facts; see `inspect_images`.

    Raises:
        RowRejected: the bytes are not an image that the model would see correctly.
    """
    (found,) = inspect_images([encoded], accepted)
    if isinstance(found, RowRejected):
        raise found
    return found


def inspect_images(
    images: Sequence[bytes], accepted: AcceptedImages
) -> list[ImageFacts | RowRejected]:
    """Decodes images completely and returns, for each, its facts or why it is rejected.

    Format and size are judged from the header, before anything is decoded.

    Args:
        images: the files' bytes.
        accepted: which images are accepted.
    """
    # One step for all images, then the next: decoding lets other threads run, and between two
    # images there is hardly anything that needs Python's lock.
    checked = [_check(image, accepted) for image in images]
    reduced = list(map(_reduce, images, checked))
    usable = [image.pixels for image in reduced if isinstance(image, _ReducedImage)]
    seen = iter(_see(np.stack(usable)) if usable else ())
    return [
        _facts(image, *next(seen)) if isinstance(image, _ReducedImage) else image
        for image in reduced
    ]


def _see(reduced: NDArray[np.uint8]) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yields the perceptual hash and the thumbnail of each image, and whether it is flat."""
    hashes, flat = cover_hashes(reduced)
    for each in zip(hashes, make_thumbnails(reduced), flat.tolist(), strict=True):
        yield each[0].tobytes(), each[1].tobytes(), each[2]


@dataclasses.dataclass(slots=True)
class _CheckedImage:
    image_id: str
    size: int
    header: Header


@dataclasses.dataclass(slots=True)
class _ReducedImage:
    checked: _CheckedImage
    brightness: float
    pixels: NDArray[np.uint8]


def _check(encoded: bytes, accepted: AcceptedImages) -> _CheckedImage | RowRejected:
    try:
        header = _read_accepted_header(encoded, accepted)
    except RowRejected as rejected:
        return rejected
    return _CheckedImage(hashlib.sha256(encoded).hexdigest(), len(encoded), header)


def _reduce(encoded: bytes, checked: _CheckedImage | RowRejected) -> _ReducedImage | RowRejected:
    if isinstance(checked, RowRejected):
        return checked
    try:
        gray = _decode_gray(encoded, checked.header)
    except RowRejected as rejected:
        return rejected
    brightness = round(int(gray.sum(dtype=np.int64)) / gray.size / 255, 4)
    return _ReducedImage(checked, brightness, reduce_image(gray))


def _facts(
    image: _ReducedImage, perceptual_hash: bytes, thumbnail: bytes, flat: bool
) -> ImageFacts:
    header = image.checked.header
    return ImageFacts(
        image_id=image.checked.image_id,
        format=header.format,
        width=header.width,
        height=header.height,
        size=image.checked.size,
        orientation=header.orientation,
        brightness=image.brightness,
        perceptual_hash=perceptual_hash,
        thumbnail=thumbnail,
        flat=flat,
    )


def _read_accepted_header(encoded: bytes, accepted: AcceptedImages) -> Header:
    if not encoded:
        raise RowRejected(Reason.EMPTY_FILE, "Expected an image. Received: 0 bytes.")
    header = read_header(encoded)
    if header.format not in accepted.formats:
        raise RowRejected(
            Reason.UNSUPPORTED_FORMAT,
            f"Expected one of the formats {', '.join(accepted.formats)}. "
            f"Received: {header.format}.",
        )
    _check_size(header, accepted.smallest_side, accepted.largest_side)
    return header


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
        raise _undecodable("bytes that the model's decoder rejects") from error
    if channels == 4 and pixels[:, :, 3].min() < _OPAQUE:
        raise RowRejected(
            Reason.TRANSPARENT_IMAGE,
            "Expected an opaque image. Received: transparent pixels, whose hidden colours the "
            "model would see. Flatten the image onto a background.",
        )
    return np.ascontiguousarray(pixels[:, :, :3])


def _undecodable(problem: str) -> RowRejected:
    return RowRejected(
        Reason.UNDECODABLE_IMAGE, f"Expected a complete, undamaged image. Received: {problem}."
    )
