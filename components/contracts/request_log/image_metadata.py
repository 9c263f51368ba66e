"""Takes out of an image file what is no picture: cameras, places, times, names, comments, previews.

Nothing is encoded again: what is kept is copied, so that decoders see the very same pixels. What is
kept is named here, and all else goes, also what follows the end of the picture.
"""

from __future__ import annotations

import struct

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"

_END, _SCAN, _COMMENT = 0xD9, 0xDA, 0xFE
_APPLICATION = range(0xE0, 0xF0)
_APP0, _APP14 = 0xE0, 0xEE
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_JFIF, _ADOBE = b"JFIF\0", b"Adobe"
_JFIF_HEADER, _ADOBE_HEADER = 14, 12  # bytes, without a preview
_NO_PREVIEW = b"\0\0"

_PICTURE_CHUNKS = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"cHRM", b"gAMA", b"sRGB", b"sBIT", b"bKGD", b"pHYs", b"IDAT")
)
_LAST_CHUNK = b"IEND"


def without_metadata(encoded: bytes) -> bytes:
    """Returns a JPEG or PNG file without its metadata; the coded picture is as it was.

    A JPEG loses its comments and all application segments but the headers of JFIF and Adobe, which
    say how colours are coded. A PNG loses its texts, EXIF, times, profiles and unknown chunks.

    Raises:
        ValueError: the bytes are no JPEG or PNG, or not one whose parts can be told apart.
    """
    if encoded.startswith(_JPEG):
        return _jpeg(encoded)
    if encoded.startswith(_PNG):
        return _png(encoded)
    raise ValueError("neither a JPEG nor a PNG")


def _jpeg(encoded: bytes) -> bytes:
    kept = [encoded[:2]]
    at = 2
    while True:
        marker, at = _next_marker(encoded, at)
        if marker == _END:
            return b"".join([*kept, b"\xff\xd9"])
        if marker in _WITHOUT_LENGTH:
            kept.append(bytes((0xFF, marker)))
            continue
        content, at = _segment(encoded, at)
        if marker == _SCAN:
            end = _end_of_scan(encoded, at)
            kept += [_with_length(marker, content), encoded[at:end]]
            at = end
        elif marker in _APPLICATION:
            kept += [_with_length(marker, header) for header in _header(marker, content)]
        elif marker != _COMMENT:
            kept.append(_with_length(marker, content))


def _next_marker(encoded: bytes, at: int) -> tuple[int, int]:
    """Returns the marker at or after a place, and the place behind it."""
    start = encoded.find(0xFF, at)
    if start < 0:
        return _END, len(encoded)  # some files stop without saying so
    while start < len(encoded) and encoded[start] == 0xFF:
        start += 1
    if start == len(encoded):
        return _END, start
    if encoded[start] == 0:
        return _next_marker(encoded, start + 1)
    return encoded[start], start + 1


def _segment(encoded: bytes, at: int) -> tuple[bytes, int]:
    if at + 2 > len(encoded):
        raise ValueError("a segment that is cut off")
    (length,) = struct.unpack_from(">H", encoded, at)
    if length < 2 or at + length > len(encoded):
        raise ValueError("a segment of a wrong length")
    return encoded[at + 2 : at + length], at + length


def _end_of_scan(encoded: bytes, at: int) -> int:
    """Returns where the coded picture ends: at a marker that is no part of it."""
    while True:
        at = encoded.find(0xFF, at)
        if at < 0 or at + 1 >= len(encoded):
            return len(encoded)
        following = encoded[at + 1]
        if following == 0 or 0xD0 <= following <= 0xD7:  # a byte of 255, or a restart
            at += 2
        elif following == 0xFF:
            at += 1
        else:
            return at


def _header(marker: int, content: bytes) -> list[bytes]:
    if marker == _APP0 and content.startswith(_JFIF) and len(content) >= _JFIF_HEADER:
        return [content[: _JFIF_HEADER - 2] + _NO_PREVIEW]
    if marker == _APP14 and content.startswith(_ADOBE) and len(content) >= _ADOBE_HEADER:
        return [content[:_ADOBE_HEADER]]
    return []


def _with_length(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _png(encoded: bytes) -> bytes:
    kept = [_PNG]
    at = len(_PNG)
    while at + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, at)
        end = at + 12 + length
        if end > len(encoded):
            break
        if kind in _PICTURE_CHUNKS or kind == _LAST_CHUNK:
            kept.append(encoded[at:end])
        if kind == _LAST_CHUNK:
            return b"".join(kept)
        at = end
    raise ValueError("a PNG that is cut off")
