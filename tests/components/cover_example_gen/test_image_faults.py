"""Every fault that an image can have, as real files, and what the model's decoder makes of it."""

from __future__ import annotations

import io
import os
import shutil
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.files import DataDirectory
from components.trainer.preprocessing import decode_and_resize

Write = Callable[..., Path]
Draw = Callable[..., Image.Image]

# File -> reason of its quarantine.
REJECTED = {
    "empty.jpg": "empty_file",
    "truncated.jpg": "undecodable_image",
    "truncated-progressive.jpg": "undecodable_image",
    "no-end.jpg": "undecodable_image",
    "wiped.jpg": "undecodable_image",
    "header-only.jpg": "undecodable_image",
    "many-scans.jpg": "undecodable_image",
    "truncated.png": "undecodable_image",
    "wrong-byte.png": "undecodable_image",
    "page.jpg": "not_an_image",
    "noise.jpg": "not_an_image",
    "arithmetic.jpg": "unsupported_format",
    "animated.gif": "unsupported_format",
    "animated-gif.jpg": "unsupported_format",
    "vector.svg": "unsupported_format",
    "print.eps": "unsupported_format",
    "scan.tiff": "unsupported_format",
    "bitmap.bmp": "unsupported_format",
    "web.webp": "unsupported_format",
    "web.jpg": "unsupported_format",
    "cmyk-ambiguous.jpg": "unsupported_colours",
    "transparent.png": "transparent_image",
    "transparent-palette.png": "transparent_image",
    "bomb.png": "image_size_out_of_range",
    "bomb.jpg": "image_size_out_of_range",
    "many-pixels.png": "image_size_out_of_range",
    "line.png": "image_size_out_of_range",
    "small.jpg": "image_size_out_of_range",
    "huge-file.jpg": "file_too_large",
    "fifo.jpg": "not_a_file",
    "folder.jpg": "not_a_file",
    "socket.jpg": "not_a_file",
}
FORMATS = ("unsupported_format", "not_an_image")
# Accepted files: what people have, and training and serving see rightly.
ACCEPTED = (
    "plain.jpg",
    "progressive.jpg",
    "grey.jpg",
    "cmyk.jpg",
    "rotated.jpg",
    "broken-exif.jpg",
    "several-pictures.jpg",
    "trailing-bytes.jpg",
    "plain.png",
    "palette.png",
    "one-bit.png",
    "grey-16-bit.png",
    "colour-16-bit.png",
    "opaque-alpha.png",
    "grey-alpha.png",
    "interlaced.png",
    "animated.png",
    "png-named.jpg",
    "jpeg-named.png",
)


def _encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def _flip(encoded: bytes, at: int) -> bytes:
    damaged = bytearray(encoded)
    damaged[at] ^= 0xFF
    return bytes(damaged)


def _png(width: int, height: int, depth: int, colours: int, raw: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        size, check = len(content), zlib.crc32(name + content)
        return struct.pack(">I", size) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def _with_jpeg_size(encoded: bytes, width: int, height: int) -> bytes:
    at = encoded.index(b"\xff\xc0") + 5
    return encoded[:at] + struct.pack(">HH", height, width) + encoded[at + 4 :]


def _write_files(root: Path, draw: Draw) -> None:
    root.mkdir(parents=True)
    seeds = iter(range(1000))

    def cover(side: int = 100) -> Image.Image:
        return draw(next(seeds), side)

    def jpeg(**options: Any) -> bytes:
        return _encode(cover(), "JPEG", quality=90, **options)

    exif = Image.Exif()
    exif[0x0112] = 6
    plain, progressive, png = jpeg(), jpeg(progressive=True), _encode(cover(), "PNG")
    cmyk = _encode(cover().convert("CMYK"), "JPEG")
    adobe = cmyk.index(b"\xff\xee")
    with_alpha = cover().convert("RGBA")
    with_alpha.putpixel((5, 5), (1, 2, 3, 254))
    frames = [cover(), cover()]
    rgb16 = (np.asarray(cover()).astype(np.uint16) * 257).astype(">u2")
    rows16 = b"".join(b"\0" + row.tobytes() for row in rgb16)
    with_exif = jpeg(exif=exif)
    scan = progressive.rindex(b"\xff\xda")
    files = {
        "empty.jpg": b"",
        "truncated.jpg": plain[: len(plain) * 9 // 10],
        "truncated-progressive.jpg": progressive[: len(progressive) * 9 // 10],
        "no-end.jpg": plain[:-2],
        "wiped.jpg": plain[: len(plain) // 2] + bytes(200) + plain[len(plain) // 2 + 200 :],
        "header-only.jpg": plain[: plain.index(b"\xff\xda")],
        "many-scans.jpg": progressive[:-2] + progressive[scan:-2] * 70 + b"\xff\xd9",
        "truncated.png": png[:-20],
        "wrong-byte.png": _flip(png, len(png) // 2),
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "noise.jpg": bytes(range(256)) * 8,
        "arithmetic.jpg": jpeg().replace(b"\xff\xc0", b"\xff\xc9", 1),
        "animated.gif": _encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "animated-gif.jpg": _encode(frames[1], "GIF", save_all=True, append_images=frames[:1]),
        "vector.svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "print.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 300 300\n",
        "scan.tiff": _encode(cover(), "TIFF"),
        "bitmap.bmp": _encode(cover(), "BMP"),
        "web.webp": _encode(cover(), "WEBP"),
        "web.jpg": _encode(cover(), "WEBP"),
        "cmyk-ambiguous.jpg": cmyk[:adobe] + cmyk[adobe + 16 :],
        "transparent.png": _encode(with_alpha, "PNG"),
        "transparent-palette.png": _encode(cover().quantize(32), "PNG", transparency=3),
        "bomb.png": _png(60_000, 60_000, 8, 2, bytes(1000)),
        "bomb.jpg": _with_jpeg_size(jpeg(), 60_000, 60_000),
        "many-pixels.png": _png(9_000, 9_000, 8, 2, bytes(1000)),
        "line.png": _encode(cover().resize((1, 5000)), "PNG"),
        "small.jpg": _encode(cover(63), "JPEG"),
        "plain.jpg": plain,
        "progressive.jpg": progressive,
        "grey.jpg": _encode(cover().convert("L"), "JPEG"),
        "cmyk.jpg": _encode(cover().convert("CMYK"), "JPEG", quality=95),
        "rotated.jpg": with_exif,
        "broken-exif.jpg": jpeg(exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40),
        "several-pictures.jpg": _encode(
            cover(), "MPO", save_all=True, append_images=[cover()], quality=90
        ),
        "trailing-bytes.jpg": jpeg() + b"\0" * 100,
        "plain.png": png,
        "palette.png": _encode(cover().quantize(64), "PNG"),
        "one-bit.png": _encode(cover().convert("1"), "PNG"),
        "grey-16-bit.png": _encode(
            Image.fromarray(np.asarray(cover().convert("L")).astype(np.uint16) * 257), "PNG"
        ),
        "colour-16-bit.png": _png(100, 100, 16, 2, rows16),
        "opaque-alpha.png": _encode(cover().convert("RGBA"), "PNG"),
        "grey-alpha.png": _encode(cover().convert("LA"), "PNG"),
        "interlaced.png": _encode(cover(), "PNG", interlace=1),
        "animated.png": _encode(cover(), "PNG", save_all=True, append_images=[cover()]),
        "png-named.jpg": _encode(cover(), "PNG"),
        "jpeg-named.png": jpeg(),
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
    with (root / "huge-file.jpg").open("wb") as file:
        file.truncate(10 << 30)  # a hole: 10 GiB that take no space
    os.mkfifo(root / "fifo.jpg")
    (root / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{os.open(root, os.O_RDONLY)}/socket.jpg")  # a short path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, draw_cover: Draw) -> Path:
    root = tmp_path_factory.mktemp("images")
    _write_files(root / "rock", draw_cover)
    return root


@pytest.fixture(scope="module")
def result(folder: Path, ingest: Callable[..., Any]) -> Any:
    return ingest(folder)


@pytest.fixture(scope="module")
def by_name(result: Any) -> dict[str, tf.train.Example]:
    return {
        path.decode().removeprefix("rock/"): example
        for _, example in result.examples().values()
        for path in example.features.feature["image/path"].bytes_list.value
    }


@pytest.mark.parametrize("name", REJECTED)
def test_a_bad_image_is_quarantined_with_a_reason(name: str, result: Any) -> None:
    assert result.reasons()[f"rock/{name}"] == REJECTED[name]


def test_nothing_else_is_quarantined_and_nothing_is_lost(result: Any) -> None:
    assert len(result.quarantined) == len(REJECTED)
    assert result.summary.rows_given == len(REJECTED) + len(ACCEPTED)
    assert result.summary.examples == len(ACCEPTED)


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_image_is_seen_by_the_model_as_by_people(
    name: str, folder: Path, by_name: dict[str, tf.train.Example]
) -> None:
    feature = by_name[name].features.feature
    encoded = feature["image/encoded"].bytes_list.value[0]
    assert encoded == (folder / "rock" / name).read_bytes()
    seen = decode_and_resize(tf.constant(encoded), 100).numpy().astype(int)
    assert np.abs(seen - _as_people_see(encoded)).mean() < 6
    assert feature["image/format"].bytes_list.value[0] == (
        b"PNG" if encoded.startswith(b"\x89PNG") else b"JPEG"
    )


def _as_people_see(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as image:
        if image.mode == "I;16":  # Pillow clips instead of scaling
            return np.repeat((np.asarray(image) // 257)[:, :, None], 3, axis=2).astype(int)
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize(
    "name",
    [name for name, reason in REJECTED.items() if reason in FORMATS],
)
def test_formats_that_ingest_refuses_serving_refuses_too(name: str, folder: Path) -> None:
    if name == "arithmetic.jpg":
        return  # TensorFlow reads it, hardly anything else does; `covers predict` refuses it
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_and_resize(tf.constant((folder / "rock" / name).read_bytes()), 100)


def test_exif_orientation_is_recorded_and_not_applied(
    by_name: dict[str, tf.train.Example], result: Any
) -> None:
    orientations = {
        name: example.features.feature["image/orientation"].int64_list.value[0]
        for name, example in by_name.items()
    }
    assert orientations.pop("rotated.jpg") == 6
    assert set(orientations.values()) == {1}
    assert result.summary.rotated == 1


def test_brightness_is_the_mean_grey_level(by_name: dict[str, tf.train.Example]) -> None:
    for name in ("plain.jpg", "plain.png", "cmyk.jpg"):
        feature = by_name[name].features.feature
        encoded = feature["image/encoded"].bytes_list.value[0]
        with Image.open(io.BytesIO(encoded)) as image:
            expected = np.asarray(image.convert("RGB").convert("L")).mean() / 255
        assert feature["image/brightness"].float_list.value[0] == pytest.approx(expected, abs=0.02)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder in which this process has the rights of an ordinary user."""
    folder = Path(tempfile.mkdtemp(prefix="covers-test-"))
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_files_and_folders_without_permission_are_quarantined(
    as_nobody: Path, write_cover: Write
) -> None:
    from components.cover_example_gen.sources import find_source

    write_cover(as_nobody / "rock" / "closed.jpg", 1).chmod(0)
    write_cover(as_nobody / "pop" / "hidden.jpg", 2)
    (as_nobody / "pop").chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    rows = find_source(as_nobody).rows()
    assert [row.path for row in rows] == ["rock/closed.jpg", "pop"]
    directory = DataDirectory(as_nobody, 1 << 20)
    for row in rows:
        with pytest.raises(RowRejected, match="Permission denied") as caught:
            directory.read(row.path)
        assert caught.value.reason is Reason.UNREADABLE_FILE


def test_a_file_that_grows_is_read_to_its_first_size(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    assert DataDirectory(tmp_path, 5).read("a.jpg") == ("a.jpg", b"12345")
    with pytest.raises(RowRejected, match="at most 4 bytes"):
        DataDirectory(tmp_path, 4).read("a.jpg")
