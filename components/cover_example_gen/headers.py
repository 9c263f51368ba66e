"""What the header of an image file says, before anything is decoded."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator

from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.conversion import (
    CONVERTIBLE_FORMATS,
    open_image,
    orientation_of,
)
from components.cover_example_gen.imperfections import without_comments

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

# Other common formats, by the first bytes.
_OTHER_FORMATS = {
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
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
    b"\xff\x4f\xff\x51": "JPEG 2000",
}
_ISO_MEDIA = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "HEIC"),
}

# Baseline, extended and progressive: what every JPEG decoder reads. Of the others, arithmetic-coded
# ones are converted.
_READABLE_FRAMES = (0xC0, 0xC1, 0xC2)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL_FRAMES = (0xC0, 0xC1, 0xC9)  # without those of lossless and hierarchical JPEGs
_APP1, _APP14 = 0xE1, 0xEE
_SCAN, _END = 0xDA, 0xD9
_WITHOUT_CONTENT = frozenset((0x01, *range(0xD0, 0xD8)))
_GRAY, _RGB, _CMYK = 1, 3, 4
# Cameras and editors write JPEGs of about ten scans at most; each costs a pass over the image.
_MOST_SCANS = 64
_START_OF_SCAN = b"\xff\xda"
# Kinds of conversion, beside the names of formats.
_ROTATED, _INKS, _RARE_CODING = "rotated", "CMYK", "rare JPEG coding"


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says about its image.

    Attributes:
        format: `JPEG`, `PNG`, or another of `CONVERTIBLE_FORMATS`.
        width: pixels, as stored.
        height: pixels, as stored.
        orientation: EXIF orientation, 1 (upright) to 8.
        channels: 1 grey, 3 colours, 4 inks (CMYK).
        may_be_transparent: whether the file has an alpha channel or a transparent colour.
        conversion: why the model would not see the image as people do, such as `WebP` or
            `rotated`; empty if it would.
        is_imperfect: whether the header has a harmless imperfection.
    """

    format: str
    width: int
    height: int
    orientation: int
    channels: int
    may_be_transparent: bool = False
    conversion: str = ""
    is_imperfect: bool = False


def read_header(encoded: bytes) -> Header:
    """Reads the header of an image file.

    Only the parser of the format that the first bytes name ever sees them, and it stops before the
    coded image.

    Raises:
        RowRejected: the bytes are not an image that can be read or converted.
    """
    if encoded.startswith(_JPEG_MAGIC):
        return _read_jpeg(encoded)
    if encoded.startswith(_PNG_MAGIC):
        return _read_png(encoded)
    other = _other_format(encoded)
    if other in CONVERTIBLE_FORMATS:
        image = open_image(encoded, other)
        return Header(
            other, image.width, image.height, orientation_of(image), _RGB, conversion=other
        )
    if other:
        raise RowRejected(
            Reason.UNSUPPORTED_FORMAT,
            f"Expected one of the formats {', '.join(sorted(CONVERTIBLE_FORMATS))}. "
            f"Received: {other}.",
        )
    raise RowRejected(
        Reason.NOT_AN_IMAGE,
        f"Expected an image. Received: {len(encoded)} bytes that start with {encoded[:12]!r}.",
    )


def _read_png(encoded: bytes) -> Header:
    try:
        image, is_imperfect = open_image(encoded, "PNG"), False
    except RowRejected:
        image, is_imperfect = open_image(without_comments(encoded), "PNG"), True
    orientation = orientation_of(image) if "exif" in image.info else 1
    return Header(
        format="PNG",
        width=image.width,
        height=image.height,
        orientation=orientation,
        channels=_RGB,
        may_be_transparent="A" in image.mode or "transparency" in image.info,
        conversion=_ROTATED if orientation != 1 else "",
        is_imperfect=is_imperfect,
    )


def _read_jpeg(encoded: bytes) -> Header:
    segments = dict(_segments(encoded))
    frame = next((marker for marker in segments if marker in _FRAMES), None)
    if frame is None:
        raise _undecodable("a JPEG without a frame header")
    _, height, width, channels = struct.unpack_from(">BHHB", encoded, segments[frame])
    # One scan of all colour channels is the only one that decoders accept of such a JPEG.
    has_one_scan = frame in _SEQUENTIAL_FRAMES and encoded[segments.get(_SCAN, 0)] == channels
    if not has_one_scan and encoded.count(_START_OF_SCAN) > _MOST_SCANS:
        raise _undecodable(f"a JPEG of {encoded.count(_START_OF_SCAN)} scans")
    if channels not in (_GRAY, _RGB, _CMYK):
        raise _undecodable(f"a JPEG of {channels} colour channels")
    orientation = orientation_of(open_image(encoded, "JPEG")) if _APP1 in segments else 1
    conversion = ""
    if orientation != 1:
        conversion = _ROTATED
    elif frame not in _READABLE_FRAMES:
        conversion = _RARE_CODING
    elif channels == _CMYK and _APP14 not in segments:
        conversion = _INKS
    return Header("JPEG", width, height, orientation, channels, conversion=conversion)


def _segments(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Yields marker and position of the content of each segment up to the first scan's header."""
    at = 2
    while at + 12 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == _END:
            return
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _WITHOUT_CONTENT:
            at += 2
            continue
        yield marker, at + 4
        if marker == _SCAN:
            return
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")


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
