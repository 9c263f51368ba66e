from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from components.contracts.request_log.image_metadata import without_metadata

SECRET = b"Jane Doe, 52.52 N 13.40 E"


def _pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def _saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = SECRET.decode()
    return exif.tobytes()


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_a_jpeg_keeps_its_picture_and_nothing_else(
    options: dict, draw_cover: Callable[..., Image.Image]
) -> None:
    plain = _saved(draw_cover(1), "JPEG", **options)
    marked = _saved(
        draw_cover(1), "JPEG", exif=_exif(), comment=SECRET, icc_profile=b"icc" + SECRET, **options
    )
    marked = marked[:2] + _segment(0xED, b"Photoshop 3.0\0" + SECRET) + marked[2:]
    marked += b"\0\0\0\x18ftypmp42" + SECRET  # a film behind the picture
    assert marked.count(SECRET) == 5
    cleaned = without_metadata(marked)
    assert SECRET not in cleaned
    assert cleaned == without_metadata(plain) == plain
    assert np.array_equal(_pixels(cleaned), _pixels(marked))


def test_a_jpeg_loses_the_preview_in_its_header(draw_cover: Callable[..., Image.Image]) -> None:
    plain = _saved(draw_cover(1), "JPEG")
    preview = b"JFIF\0\1\1\0\0\1\0\1\x04\x03" + SECRET.ljust(36)
    marked = plain[:2] + _segment(0xE0, preview) + plain[20:]
    assert SECRET not in without_metadata(marked)
    assert np.array_equal(_pixels(without_metadata(marked)), _pixels(plain))


def test_the_header_that_says_how_colours_are_coded_stays(
    draw_cover: Callable[..., Image.Image],
) -> None:
    encoded = _saved(draw_cover(1), "JPEG", keep_rgb=True)
    adobe = _segment(0xEE, b"Adobe\0\x64\0\0\0\0\0" + SECRET)
    encoded = encoded[:2] + adobe + encoded[2:]
    cleaned = without_metadata(encoded)
    assert b"Adobe" in cleaned and SECRET not in cleaned
    assert np.array_equal(_pixels(cleaned), _pixels(encoded))


def test_a_jpeg_that_stops_without_saying_so_gets_an_end(
    draw_cover: Callable[..., Image.Image],
) -> None:
    encoded = _saved(draw_cover(1), "JPEG")
    assert without_metadata(encoded[:-2]) == encoded


def test_a_png_keeps_its_picture_and_nothing_else(draw_cover: Callable[..., Image.Image]) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", SECRET.decode())
    texts.add_itxt("Author", SECRET.decode())
    texts.add(b"tIME", b"\x07\xea\1\2\3\4\5")
    texts.add(b"prVt", SECRET)
    marked = _saved(draw_cover(1), "PNG", pnginfo=texts, exif=_exif()) + SECRET
    assert marked.count(SECRET) == 5
    cleaned = without_metadata(marked)
    assert SECRET not in cleaned and b"tIME" not in cleaned and b"eXIf" not in cleaned
    assert cleaned == _saved(draw_cover(1), "PNG")


def test_a_palette_and_its_transparent_colour_stay(draw_cover: Callable[..., Image.Image]) -> None:
    encoded = _saved(draw_cover(1).convert("P"), "PNG", transparency=3)
    assert without_metadata(encoded) == encoded


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"GIF89a",
        b"\xff\xd8\xff\xe0\xff\xff",
        b"\xff\xd8\xff\xe0\0\1",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sI", 1 << 30, b"IDAT", zlib.crc32(b"")),
    ],
)
def test_what_cannot_be_told_apart_is_refused(encoded: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        without_metadata(encoded)
