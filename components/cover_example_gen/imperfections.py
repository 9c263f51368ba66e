"""Tells harmless imperfections of a JPEG or PNG from damage.

Every viewer shows a JPEG whose header has a wrong version, or that has padding before its end. What
the strict decoder complains of is taken out, and nothing else; if it then reads the rest without a
complaint, and the model's decoder sees the same picture in both, the file is whole.
"""

from __future__ import annotations

import re
import string
import struct
from collections.abc import Callable, Container, Iterator

import numpy as np
import simplejpeg

_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_END_OF_IMAGE = b"\xff\xd9"
# Bytes that a damaged scan leaves over are arbitrary: so many of one value or of text are padding.
_LEAST_PADDING = 8
_FILL = frozenset((0x00, 0xFF))
# Some bytes before a text look like text by chance, and decoders read ahead by eight.
_MOST_TEXT_IN_SCAN = 16
_TEXT = frozenset(string.printable.encode("ascii"))
_JFIF = b"JFIF\0"
_JFIF_VERSION = b"\1\1"
_START_OF_SCAN, _ADOBE, _PROGRESSIVE = 0xDA, 0xEE, 0xC2
_SCAN = bytes((0xFF, _START_OF_SCAN))
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
    return any(_is_same_picture(encoded, each, decode) for each in _clean_jpegs(encoded, complaint))


def _is_same_picture(encoded: bytes, cleaned: bytes, decode: Callable[[bytes], np.ndarray]) -> bool:
    try:
        simplejpeg.decode_jpeg(cleaned, "GRAY", strict=True)
    except ValueError:
        return False
    return _has_all_scans(cleaned) and bool(np.array_equal(decode(encoded), decode(cleaned)))


def _has_all_scans(encoded: bytes) -> bool:
    """Tells whether the scans of a progressive JPEG give every coefficient in full precision.

    Decoders make do with the scans that are there, so that padding may stand for others.
    """
    frame = next((at for marker, at, _ in _segments(encoded) if marker == _PROGRESSIVE), None)
    if frame is None:
        return True
    components = encoded[frame + 8 : frame + 8 + 3 * encoded[frame + 7] : 3]
    missing = {(component, index) for component in components for index in range(64)}
    at = encoded.find(_SCAN, frame)
    while 0 <= at < len(encoded) - 5:
        end = at + 5 + 2 * encoded[at + 4]
        if end + 3 > len(encoded):
            return False
        first, last, precision = encoded[end : end + 3]
        if not precision & 0x0F:  # the lowest bit is reached
            scanned = encoded[at + 5 : end : 2]
            missing -= {(each, index) for each in scanned for index in range(first, last + 1)}
        at = encoded.find(_SCAN, end)
    return not missing


def _clean_jpegs(encoded: bytes, complaint: str) -> Iterator[bytes]:
    """Yields what the file may be without the imperfection."""
    extraneous = _EXTRANEOUS.search(complaint)
    if extraneous:
        yield from _without_padding(encoded, int(extraneous[1]))
    elif "unknown JFIF revision" in complaint:
        at = encoded.find(_JFIF) + len(_JFIF)
        yield encoded[:at] + _JFIF_VERSION + encoded[at + len(_JFIF_VERSION) :]
    elif "Invalid SOS parameters" in complaint:
        yield from _with_plain_scan(encoded)
    elif "Unknown Adobe color transform" in complaint:
        yield from _with_adobe_transform(encoded)


def _without_padding(encoded: bytes, extraneous: int) -> Iterator[bytes]:
    """Yields the file without all its padding, including what the decoder took for picture.

    Zeros decode to a picture as well: where they replace the end of a scan, the decoder reads as
    many as it needs and complains of the rest only. Without all of them, such a scan is too short.
    """
    end = encoded.rfind(_END_OF_IMAGE)
    if end < _LEAST_PADDING:
        return
    last = encoded[end - 1]
    filled = _run_before(encoded, end, _FILL if last in _FILL else frozenset((last,)))
    if filled >= _LEAST_PADDING:
        # In a scan, 0xff is followed by a zero, which belongs to it.
        begin = end - filled
        kept = begin + 1 if encoded[begin - 1 : begin + 1] == b"\xff\0" else begin
        yield encoded[:kept] + encoded[end:]
    text = _run_before(encoded, end, _TEXT)
    if text >= _LEAST_PADDING and 0 <= text - extraneous <= _MOST_TEXT_IN_SCAN:
        yield encoded[: end - extraneous] + encoded[end:]


def _run_before(encoded: bytes, end: int, values: Container[int]) -> int:
    """Counts the bytes of these values that directly precede a position."""
    start = end
    while start and encoded[start - 1] in values:
        start -= 1
    return end - start


def _with_plain_scan(encoded: bytes) -> Iterator[bytes]:
    """Sets the fields of a sequential JPEG's scan header that only progressive ones use."""
    for marker, at, length in _segments(encoded):
        if marker == _START_OF_SCAN:
            last = at + length
            yield encoded[: last - 3] + _WHOLE_SPECTRUM + encoded[last:]


def _with_adobe_transform(encoded: bytes) -> Iterator[bytes]:
    """Sets the colour transform that decoders assume if they do not know the one given."""
    for marker, at, length in _segments(encoded):
        if marker == _ADOBE and length >= 14:
            yield encoded[: at + 13] + b"\1" + encoded[at + 14 :]


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
