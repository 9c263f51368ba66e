"""The binary extension of the open inference protocol: tensors after the JSON, not in it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.serving.errors import malformed

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY_SIZE = "binary_data_size"

_LENGTH = struct.Struct("<I")


def split_body(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    """Returns the JSON of a request, and the bytes that follow it.

    Args:
        body: the whole body.
        header_length: the header of that name; None if there was none.

    Raises:
        Refused: the header is no number, or larger than the body.
    """
    if header_length is None:
        return body, b""
    if not (header_length.isascii() and header_length.isdecimal() and len(header_length) < 20):
        raise malformed(f"a number in {HEADER_LENGTH}", repr(header_length))
    length = int(header_length)
    if length > len(body):
        raise malformed(f"{length:,} bytes of JSON", f"{len(body):,} bytes")
    return body[:length], body[length:]


def unpack_elements(packed: bytes) -> list[bytes]:
    """Returns the elements of a BYTES tensor: each follows its length in four bytes.

    Raises:
        Refused: the lengths do not fit.
    """
    elements, at = [], 0
    while at < len(packed):
        begin = at + _LENGTH.size
        if begin > len(packed):
            raise malformed("the length of an element in 4 bytes", f"{len(packed) - at} bytes")
        (length,) = _LENGTH.unpack_from(packed, at)
        at = begin + length
        if at > len(packed):
            raise malformed(f"an element of {length:,} bytes", f"{len(packed) - begin:,} bytes")
        elements.append(packed[begin:at])
    return elements


def pack_elements(elements: Sequence[bytes]) -> bytes:
    """Returns a BYTES tensor as `unpack_elements` reads it."""
    return b"".join(_LENGTH.pack(len(each)) + each for each in elements)


def pack_numbers(values: NDArray[np.generic]) -> bytes:
    """Returns a tensor of numbers, row by row, the lowest byte first."""
    return values.astype(values.dtype.newbyteorder("<")).tobytes()
