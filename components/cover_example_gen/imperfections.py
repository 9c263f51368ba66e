"""Tells harmless imperfections of a JPEG or PNG from damage.

Every viewer shows a JPEG whose header has a wrong version, or that has padding before its end. What
the strict decoder complains of is taken out, and nothing else; if it then reads the rest without a
complaint, and the model's decoder sees the same picture in both, the file is whole.
"""

from __future__ import annotations

import re
import string
import struct
from collections.abc import Callable, Iterator

import numpy as np
import simplejpeg

_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_END_OF_IMAGE = b"\xff\xd9"
# Bytes that a damaged scan leaves over are arbitrary: so many of one value or of text are padding.
_LEAST_PADDING = 8
_TEXT = frozenset(string.printable.encode("ascii"))
_JFIF = b"JFIF\0"
_JFIF_VERSION = b"\1\1"
_START_OF_SCAN, _ADOBE = 0xDA, 0xEE
_WHOLE_SPECTRUM = b"\0\x3f\0"

_PNG_SIGNATURE = 8
_PNG_COMMENTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def is_whole_jpeg(encoded: bytes, complaint: str, decode: Callable[[bytes], np.ndarray]) -> bool:
    """Tells whether what a strict decoder complains of is harmless.

    Args:
        encoded: the file's bytes.
        complaint: what libjpeg says.
        decode: the model's decoder; raises on what it does not read.
    """
    cleaned = _clean_jpeg(encoded, complaint)
    if cleaned is None:
        return False
    try:
        simplejpeg.decode_jpeg(cleaned, "GRAY", strict=True)
    except ValueError:
        return False
    return bool(np.array_equal(decode(encoded), decode(cleaned)))


def _clean_jpeg(encoded: bytes, complaint: str) -> bytes | None:
    extraneous = _EXTRANEOUS.search(complaint)
    if extraneous:
        return _without_padding(encoded, int(extraneous[1]))
    if "unknown JFIF revision" in complaint:
        at = encoded.find(_JFIF) + len(_JFIF)
        return encoded[:at] + _JFIF_VERSION + encoded[at + len(_JFIF_VERSION) :]
    if "Invalid SOS parameters" in complaint:
        return _with_plain_scan(encoded)
    if "Unknown Adobe color transform" in complaint:
        return _with_adobe_transform(encoded)
    return None


def _without_padding(encoded: bytes, extraneous: int) -> bytes | None:
    """Takes padding out; the decoder may have read a few bytes of it before it noticed."""
    end = encoded.rfind(_END_OF_IMAGE)
    padding = encoded[max(0, end - max(extraneous, _LEAST_PADDING)) : end]
    if len(set(padding)) != 1 and not _TEXT.issuperset(padding):
        return None
    return encoded[: end - extraneous] + encoded[end:]


def _with_plain_scan(encoded: bytes) -> bytes | None:
    """Sets the fields of a sequential JPEG's scan header that only progressive ones use."""
    for marker, at, length in _segments(encoded):
        if marker == _START_OF_SCAN:
            last = at + length
            return encoded[: last - 3] + _WHOLE_SPECTRUM + encoded[last:]
    return None


def _with_adobe_transform(encoded: bytes) -> bytes | None:
    """Sets the colour transform that decoders assume if they do not know the one given."""
    for marker, at, length in _segments(encoded):
        if marker == _ADOBE and length >= 14:
            return encoded[: at + 13] + b"\1" + encoded[at + 14 :]
    return None


def _segments(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields marker, position and length of each segment up to the first scan."""
    at = 2
    while at + 4 <= len(encoded) and encoded[at] == 0xFF:
        marker, length = encoded[at + 1], int.from_bytes(encoded[at + 2 : at + 4], "big")
        yield marker, at + 2, length
        if marker == _START_OF_SCAN:
            return
        at += 2 + length


def without_comments(encoded: bytes) -> bytes:
    """Returns a PNG without texts and colour profiles, whose size some decoders limit."""
    kept = [encoded[:_PNG_SIGNATURE]]
    at = _PNG_SIGNATURE
    while at + 8 <= len(encoded):
        (length,) = struct.unpack_from(">I", encoded, at)
        chunk = encoded[at : at + 12 + length]
        if chunk[4:8] not in _PNG_COMMENTS:
            kept.append(chunk)
        at += 12 + length
    return b"".join(kept)
