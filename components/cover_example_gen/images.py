"""Checks images and extracts their facts: format, size, identity, brightness, perceptual hash.

Plain JPEGs are decoded by simplejpeg (libjpeg-turbo) in grey at an eighth to the full size: every
coded byte is read, and whatever libjpeg only warns about is an error here, unless it is harmless.
What the model would not see as people do is converted first. All else is decoded by TensorFlow,
whose decoder the model uses. `benchmarks/ingest.py` compares the decoders.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from components.contracts.backgrounds import DEFAULT_BACKGROUND
from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.conversion import (
    CONVERTED_FORMAT,
    TRANSPARENT,
    convert,
    is_transparent,
)
from components.cover_example_gen.headers import Header, read_header
from components.cover_example_gen.imperfections import is_whole_jpeg
from components.cover_example_gen.perceptual_hash import (
    cover_hashes,
    make_thumbnails,
    reduce_image,
)

LARGEST_PIXELS = 25_000_000

_DECODED_SIDE = 64  # decoded small, never smaller than this


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known about a decodable image.

    Attributes:
        image_id: sha256 of the file's bytes, hex.
        format: `JPEG` or `PNG`, after conversion.
        width: pixels, after conversion.
        height: pixels, after conversion.
        size: bytes of the file.
        orientation: EXIF orientation of the file, 1 (upright) to 8.
        brightness: mean grey level, 0 (black) to 1 (white).
        perceptual_hash: 32 bytes, the 256-bit DCT perceptual hash (pHash).
        converted_from: the file's format if the image is converted; empty if it is stored as it is.
        conversion: why it is converted, such as `WebP`, `rotated` or `transparent`.
        is_imperfect: whether the file has a harmless imperfection.
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
    converted_from: str = ""
    conversion: str = ""
    is_imperfect: bool = False
    thumbnail: bytes = b""
    flat: bool = False


@dataclasses.dataclass(frozen=True)
class AcceptedImages:
    """Which images are accepted, and what they are converted on.

    Attributes:
        formats: names of the formats that may be stored, as in the schema.
        smallest_side: least width and height, pixels.
        largest_side: greatest width and height, pixels.
        background: colour below transparent pixels, as CSS writes it.
    """

    formats: tuple[str, ...]
    smallest_side: int
    largest_side: int
    background: str = DEFAULT_BACKGROUND


def inspect_image(encoded: bytes, accepted: AcceptedImages) -> ImageFacts:
    """Decodes an image completely and returns its facts; see `inspect_images`.

    Raises:
        RowRejected: the bytes are not an image that the model would see correctly.
    """
    (found,) = inspect_images([encoded], accepted)
    if isinstance(found, RowRejected):
        raise found
    return found


def stored_image(encoded: bytes, facts: ImageFacts, background: str) -> bytes:
    """Returns what examples hold of a file: its bytes, or the converted image.

    Args:
        encoded: the file's bytes.
        facts: what `inspect_image` said of them.
        background: colour below transparent pixels.
    """
    if facts.converted_from:
        return convert(encoded, facts.converted_from, background)
    return encoded


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
    reduced = [
        _reduce(image, found, accepted.background)
        for image, found in zip(images, checked, strict=True)
    ]
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
    decoded: _Decoded
    brightness: float
    pixels: NDArray[np.uint8]


@dataclasses.dataclass(slots=True)
class _Decoded:
    """The grey levels of an image, perhaps reduced, and what had to be done to see it.

    Attributes:
        gray: uint8, shape (height, width).
        shape: height and width of the converted image, or None.
        conversion: why it was converted, or empty.
        is_imperfect: whether the file has a harmless imperfection.
    """

    gray: NDArray[np.uint8]
    shape: tuple[int, int] | None = None
    conversion: str = ""
    is_imperfect: bool = False


def _check(encoded: bytes, accepted: AcceptedImages) -> _CheckedImage | RowRejected:
    try:
        header = _read_accepted_header(encoded, accepted)
    except RowRejected as rejected:
        return rejected
    return _CheckedImage(hashlib.sha256(encoded).hexdigest(), len(encoded), header)


def _reduce(
    encoded: bytes, checked: _CheckedImage | RowRejected, background: str
) -> _ReducedImage | RowRejected:
    if isinstance(checked, RowRejected):
        return checked
    try:
        decoded = _decode(encoded, checked.header, background)
    except RowRejected as rejected:
        return rejected
    gray = decoded.gray
    brightness = round(int(gray.sum(dtype=np.int64)) / gray.size / 255, 4)
    return _ReducedImage(checked, decoded, brightness, reduce_image(gray))


def _facts(
    image: _ReducedImage, perceptual_hash: bytes, thumbnail: bytes, flat: bool
) -> ImageFacts:
    header, decoded = image.checked.header, image.decoded
    height, width = decoded.shape or (header.height, header.width)
    return ImageFacts(
        image_id=image.checked.image_id,
        format=CONVERTED_FORMAT if decoded.conversion else header.format,
        width=width,
        height=height,
        size=image.checked.size,
        orientation=header.orientation,
        brightness=image.brightness,
        converted_from=header.format if decoded.conversion else "",
        conversion=decoded.conversion,
        is_imperfect=decoded.is_imperfect,
        perceptual_hash=perceptual_hash,
        thumbnail=thumbnail,
        flat=flat,
    )


def _read_accepted_header(encoded: bytes, accepted: AcceptedImages) -> Header:
    if not encoded:
        raise RowRejected(Reason.EMPTY_FILE, "Expected an image. Received: 0 bytes.")
    header = read_header(encoded)
    stored = CONVERTED_FORMAT if header.conversion else header.format
    if stored not in accepted.formats:
        raise RowRejected(
            Reason.UNSUPPORTED_FORMAT,
            f"Expected one of the schema's formats {', '.join(accepted.formats)}. Received: "
            f"{header.format}{f', stored as {stored}' if header.conversion else ''}.",
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


def _decode(encoded: bytes, header: Header, background: str) -> _Decoded:
    is_imperfect = header.is_imperfect
    gray: NDArray[np.uint8] | None = None
    if header.format == "JPEG" and header.channels <= 3:
        # Pillow, which converts, does not mind damage.
        try:
            gray = _decode_plain_jpeg(encoded)
        except ValueError as error:
            if not is_whole_jpeg(encoded, str(error), _decode_as_the_model):
                raise _undecodable(str(error)) from error
            is_imperfect = True
    conversion = header.conversion
    if not conversion and header.may_be_transparent and is_transparent(encoded, header.format):
        conversion = TRANSPARENT
    if conversion:
        pixels = _decode_as_the_model(convert(encoded, header.format, background))
        height, width, _ = pixels.shape
        return _Decoded(_gray(pixels), (height, width), conversion, is_imperfect)
    if gray is None:
        gray = _gray(_decode_as_the_model(encoded))
    return _Decoded(gray, is_imperfect=is_imperfect)


def _decode_plain_jpeg(encoded: bytes) -> NDArray[np.uint8]:
    return simplejpeg.decode_jpeg(
        encoded,
        "GRAY",
        min_height=_DECODED_SIDE,
        min_width=_DECODED_SIDE,
        min_factor=4,
        strict=True,
    )[:, :, 0]


def _gray(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def _decode_as_the_model(encoded: bytes) -> NDArray[np.uint8]:
    import tensorflow as tf

    try:
        pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise _undecodable("bytes that the model's decoder rejects") from error
    return np.ascontiguousarray(pixels)


def _undecodable(problem: str) -> RowRejected:
    return RowRejected(
        Reason.UNDECODABLE_IMAGE, f"Expected a complete, undamaged image. Received: {problem}."
    )
