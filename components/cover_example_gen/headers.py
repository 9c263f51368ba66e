"""What the header of an image file says, before anything is decoded."""

from __future__ import annotations

import dataclasses
import io
import struct
from collections.abc import Iterator

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from components.contracts.quarantine import Reason, RowRejected

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

# Common formats that the model does not decode, named for the message.
_OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"%!PS": "EPS",
    b"\xc5\xd0\xd3\xc6": "EPS",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"\0\0\1\0": "ICO",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
}
_ISO_MEDIA = {b"avif": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}

# Baseline, extended and progressive: what every JPEG decoder reads. The others are lossless,
# hierarchical and arithmetic-coded.
_READABLE_FRAMES = (0xC0, 0xC1, _PROGRESSIVE := 0xC2)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APP1, _APP14 = 0xE1, 0xEE
_END_OF_HEADER = (0xD9, 0xDA)
_GRAY, _RGB, _CMYK = 1, 3, 4
# Cameras and editors write progressive JPEGs of about ten scans; each costs a pass over the image.
_MOST_SCANS = 64
_START_OF_SCAN = b"\xff\xda"
_ORIENTATION_TAG = 0x0112


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says about its image.

    Attributes:
        format: `JPEG` or `PNG`.
        width: pixels.
        height: pixels.
        orientation: EXIF orientation, 1 (upright) to 8.
        channels: 1 grey, 3 colours, 4 inks (CMYK).
        may_be_transparent: whether the file has an alpha channel or a transparent colour.
    """

    format: str
    width: int
    height: int
    orientation: int
    channels: int
    may_be_transparent: bool = False


def read_header(encoded: bytes) -> Header:
    """Reads the header of a JPEG or PNG file.

    Only these two parsers ever see the bytes, and they stop before the coded image.

    Raises:
        RowRejected: the bytes are not a JPEG or PNG that the model's decoder reads correctly.
    """
    if encoded.startswith(_JPEG_MAGIC):
        return _read_jpeg(encoded)
    if encoded.startswith(_PNG_MAGIC):
        return _read_png(encoded)
    other = _other_format(encoded)
    if other:
        raise RowRejected(
            Reason.UNSUPPORTED_FORMAT, f"Expected a JPEG or PNG image. Received: {other}."
        )
    raise RowRejected(
        Reason.NOT_AN_IMAGE,
        f"Expected an image. Received: {len(encoded)} bytes that start with {encoded[:12]!r}.",
    )


def _read_png(encoded: bytes) -> Header:
    image = _parse(PngImageFile, encoded)
    return Header(
        format="PNG",
        width=image.width,
        height=image.height,
        orientation=_orientation(image),
        channels=_RGB,
        may_be_transparent="A" in image.mode or "transparency" in image.info,
    )


def _read_jpeg(encoded: bytes) -> Header:
    segments = dict(_segments(encoded))
    frame = next((marker for marker in segments if marker in _FRAMES), None)
    if frame is None:
        raise _undecodable("a JPEG without a frame header")
    if frame not in _READABLE_FRAMES:
        raise RowRejected(
            Reason.UNSUPPORTED_FORMAT,
            "Expected a baseline or progressive JPEG. Received: a lossless, hierarchical or "
            f"arithmetic-coded one (marker 0xff{frame:02x}).",
        )
    if frame == _PROGRESSIVE and encoded.count(_START_OF_SCAN) > _MOST_SCANS:
        raise _undecodable(f"a JPEG of {encoded.count(_START_OF_SCAN)} scans")
    _, height, width, channels = struct.unpack_from(">BHHB", encoded, segments[frame])
    if channels not in (_GRAY, _RGB, _CMYK):
        raise _undecodable(f"a JPEG of {channels} colour channels")
    if channels == _CMYK and _APP14 not in segments:
        raise RowRejected(
            Reason.UNSUPPORTED_COLOURS,
            "Expected a CMYK JPEG to have an Adobe marker, which tells whether its inks are "
            "stored inverted. Received: none.",
        )
    has_exif = _APP1 in segments
    orientation = _orientation(_parse(JpegImageFile, encoded)) if has_exif else 1
    return Header("JPEG", width, height, orientation, channels)


def _segments(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Yields marker and position of the content of each segment before the coded image."""
    at = 2
    while at + 12 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker in _END_OF_HEADER:
            return
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        yield marker, at + 4
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")


def _parse(plugin: type[ImageFile.ImageFile], encoded: bytes) -> ImageFile.ImageFile:
    # The plug-in itself, not Image.open, which tries others and warns through global state.
    try:
        return plugin(io.BytesIO(encoded))
    except Exception as error:  # Pillow's header parsers raise anything on hostile bytes
        raise _undecodable(f"{type(error).__name__}: {error}") from error


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken EXIF is no reason to reject the image it is attached to
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _other_format(encoded: bytes) -> str | None:
    for magic, name in _OTHER_FORMATS.items():
        if encoded.startswith(magic):
            return name
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "WebP"
    if encoded[4:8] == b"ftyp":
        return _ISO_MEDIA.get(encoded[8:12], "a video or HEIF")
    if b"<svg" in encoded[:1024].lower():
        return "SVG"
    return None


def _undecodable(problem: str) -> RowRejected:
    return RowRejected(Reason.UNDECODABLE_IMAGE, f"Expected a complete image. Received: {problem}.")
