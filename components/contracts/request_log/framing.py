"""TFRecord files, one record at a time: as TensorFlow writes them, and read past damage.

TensorFlow's own reader stops for good at the first damaged record. A record is its length (uint64,
little-endian), a checksum of the length, the content, and a checksum of the content.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c

LARGEST_RECORD = 256 << 20
FRAME = 16
"""Bytes of a record beside its content."""

_MASK = 0xA282EAD8


class DamagedRecord:
    """Stands for a record whose content is not what was written, or for the rest of a file."""


class CutOff:
    """Stands for a record at the end of a file whose writer did not get further."""


def framed(content: bytes) -> bytes:
    """Returns a record as it is in a file."""
    length = struct.pack("<Q", len(content))
    return b"".join((length, _checksum(length), content, _checksum(content)))


def read_frames(path: Path) -> Iterator[bytes | DamagedRecord | CutOff]:
    """Yields the records of a file, and what stands for those that cannot be read.

    A record with a damaged content is passed over. A damaged length hides where the next one
    begins: the rest of the file is one damaged record.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        while head := file.read(12):
            if len(head) < 12:
                yield CutOff()
                return
            length = _length(head)
            if length is None:
                yield DamagedRecord()
                return
            content, checksum = file.read(length), file.read(4)
            if len(checksum) < 4:
                yield CutOff()
                return
            yield content if checksum == _checksum(content) else DamagedRecord()


def whole_length(file: BinaryIO) -> int:
    """Returns how many bytes of a file, from its beginning, are whole records."""
    file.seek(0)
    end = 0
    while len(head := file.read(12)) == 12:
        length = _length(head)
        if length is None:
            break
        content, checksum = file.read(length), file.read(4)
        if checksum != _checksum(content):
            break
        end += FRAME + length
    return end


def _length(head: bytes) -> int | None:
    """Returns the length that the first 12 bytes of a record give; None if they are damaged."""
    (length,) = struct.unpack("<Q", head[:8])
    is_right = head[8:] == _checksum(head[:8]) and length <= LARGEST_RECORD
    return int(length) if is_right else None


def _checksum(content: bytes) -> bytes:
    value = google_crc32c.value(content)
    masked = (((value >> 15) | (value << 17)) + _MASK) & 0xFFFFFFFF
    return struct.pack("<I", masked)
