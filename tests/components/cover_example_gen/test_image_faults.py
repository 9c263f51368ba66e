"""Every fault that an image can have, as real files, and what the model's decoder makes of it."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import socket
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import simplejpeg
import tensorflow as tf
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.imperfections import is_whole_jpeg, without_comments
from components.trainer.preprocessing import decode_and_resize
from pipeline.commands.predict import read_image
from pipeline.runner.closing import describe_ingest

pillow_heif.register_heif_opener()

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
    "many-scans-baseline.jpg": "undecodable_image",
    "many-scans-arithmetic.jpg": "undecodable_image",
    "many-scans-hidden.jpg": "undecodable_image",
    "zero-filled.jpg": "undecodable_image",
    "truncated.png": "undecodable_image",
    "wrong-byte.png": "undecodable_image",
    "page.jpg": "not_an_image",
    "noise.jpg": "not_an_image",
    "arithmetic.jpg": "undecodable_image",
    "vector.svg": "unsupported_format",
    "print.eps": "unsupported_format",
    "floating-point.tiff": "unsupported_colours",
    "truncated.webp": "undecodable_image",
    "truncated.gif": "undecodable_image",
    "truncated.tiff": "undecodable_image",
    "rotated-truncated.jpg": "undecodable_image",
    "rotated-damaged.jpg": "undecodable_image",
    "bomb.gif": "image_size_out_of_range",
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
# Files that the model would not see as people do -> why they are converted.
CONVERTED = {
    "animated.gif": "GIF",
    "animated-gif.jpg": "GIF",
    "transparent.gif": "GIF",
    "scan.tiff": "TIFF",
    "scan-16-bit.tiff": "TIFF",
    "ink.tiff": "TIFF",
    "rotated.tiff": "TIFF",
    "bitmap.bmp": "BMP",
    "web.webp": "WebP",
    "web.jpg": "WebP",
    "animated.webp": "WebP",
    "transparent.webp": "WebP",
    "rotated.webp": "WebP",
    "photo.avif": "AVIF",
    "rotated.avif": "AVIF",
    "phone.heic": "HEIC",
    "archive.jp2": "JPEG 2000",
    "cmyk-ambiguous.jpg": "CMYK",
    "rotated.jpg": "rotated",
    "mirrored.jpg": "rotated",
    "rotated.png": "rotated",
    "transparent.png": "transparent",
    "transparent-palette.png": "transparent",
    "transparent-grey.png": "transparent",
    "transparent-16-bit.png": "transparent",
}
# Every viewer shows these, and strict decoders complain.
IMPERFECT = (
    "padding-before-end.jpg",
    "text-before-end.jpg",
    "padding-progressive.jpg",
    "jfif-version.jpg",
    "scan-header.jpg",
    "adobe-transform.jpg",
    "large-text.png",
)
# Accepted files: what people have, and training and serving see rightly.
ACCEPTED = (
    "plain.jpg",
    "progressive.jpg",
    "grey.jpg",
    "cmyk.jpg",
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


def _png(
    width: int, height: int, depth: int, colours: int, raw: bytes, transparent: bytes = b""
) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        size, check = len(content), zlib.crc32(name + content)
        return struct.pack(">I", size) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    if transparent:
        parts.insert(1, (b"tRNS", transparent))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def _rows16(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def _noisy(seed: int = 0, side: int = 160) -> bytes:
    """A cover with grain: its scan has more bytes than zeros need for the same blocks."""
    grain = np.random.default_rng(seed).normal(128, 40, (side, side, 3)).clip(0, 255)
    return _encode(Image.fromarray(grain.astype(np.uint8)), "JPEG", quality=90)


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _wiped(encoded: bytes) -> bytes:
    half = len(encoded) // 2
    return encoded[:half] + bytes(200) + encoded[half + 200 :]


def _filled(encoded: bytes, share: float, value: int) -> bytes:
    """Replaces the end of a scan, as an aborted download into a file of the full size does."""
    scan = encoded.index(b"\xff\xda") + 20
    at = scan + int((len(encoded) - 2 - scan) * share)
    return encoded[:at] + bytes([value]) * (len(encoded) - 2 - at) + encoded[-2:]


def _with_scans(encoded: bytes, frame: int, number: int) -> bytes:
    """Has many scans of the first colour channel, which all cost a pass over the image."""
    before = encoded[: encoded.index(b"\xff\xda")].replace(b"\xff\xc0", bytes([0xFF, frame]), 1)
    return before + b"\xff\xda\0\x08\1\1\0\0\x3f\0\0\0" * number + b"\xff\xd9"


def _with(encoded: bytes, mark: bytes, content: bytes) -> bytes:
    at = encoded.index(mark) + len(mark)
    return encoded[:at] + content + encoded[at + len(content) :]


def _with_wrong_scan_header(encoded: bytes) -> bytes:
    at = encoded.index(b"\xff\xda") + 2
    end = at + int.from_bytes(encoded[at : at + 2], "big")
    return encoded[: end - 3] + bytes(3) + encoded[end:]


def _with_adobe_transform(encoded: bytes) -> bytes:
    assert encoded[2:6] == b"\xff\xe0\0\x10"  # a JFIF header would overrule it
    return encoded[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x09" + encoded[20:]


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
    long_text = PngInfo()
    long_text.add_text("history", "x" * (2 << 20), zip=True)
    plain, progressive, png = jpeg(), jpeg(progressive=True), _encode(cover(), "PNG")
    cmyk = _encode(cover().convert("CMYK"), "JPEG")
    adobe = cmyk.index(b"\xff\xee")
    with_alpha = cover().convert("RGBA")
    with_alpha.putpixel((5, 5), (1, 2, 3, 254))
    frames = [cover(), cover()]
    rgb16 = (np.asarray(cover()).astype(np.uint16) * 257).astype(">u2")
    with_exif = jpeg(exif=exif)
    scan = progressive.rindex(b"\xff\xda")
    files = {
        "empty.jpg": b"",
        "truncated.jpg": plain[: len(plain) * 9 // 10],
        "truncated-progressive.jpg": progressive[: len(progressive) * 9 // 10],
        "no-end.jpg": plain[:-2],
        "zero-filled.jpg": _filled(_noisy(), 0.5, 0),
        "many-scans-baseline.jpg": _with_scans(plain, 0xC0, 70),
        "many-scans-arithmetic.jpg": _with_scans(plain, 0xC9, 70),
        # A marker without content, whose "content" would hide the scans.
        "many-scans-hidden.jpg": plain[:2] + b"\xff\x01" + _with_scans(plain, 0xC0, 70)[2:],
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
        "colour-16-bit.png": _png(100, 100, 16, 2, _rows16(rgb16)),
        "opaque-alpha.png": _encode(cover().convert("RGBA"), "PNG"),
        "grey-alpha.png": _encode(cover().convert("LA"), "PNG"),
        "interlaced.png": _encode(cover(), "PNG", interlace=1),
        "animated.png": _encode(cover(), "PNG", save_all=True, append_images=[cover()]),
        "png-named.jpg": _encode(cover(), "PNG"),
        "jpeg-named.png": jpeg(),
    }
    grey16 = (np.asarray(cover().convert("L")).astype(np.uint16) * 257).astype(">u2")
    # Drawn last, so that the others stay what they are.
    files |= {
        "transparent.gif": _encode(cover().quantize(32), "GIF", transparency=3),
        "truncated.gif": _encode(cover(), "GIF")[:3000],
        "bomb.gif": b"GIF89a"
        + struct.pack("<HH", 60_000, 60_000)
        + b"\0\0\0,"
        + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0)
        + b"\2"
        + bytes(200),
        "scan-16-bit.tiff": _encode(
            Image.fromarray(np.asarray(cover().convert("L")).astype(np.uint16) * 257), "TIFF"
        ),
        "ink.tiff": _encode(cover().convert("CMYK"), "TIFF"),
        "rotated.tiff": _encode(cover(), "TIFF", exif=_turned(6)),
        "floating-point.tiff": _encode(cover().convert("F"), "TIFF"),
        "truncated.tiff": _encode(cover(), "TIFF")[:5000],
        "animated.webp": _encode(cover(), "WEBP", save_all=True, append_images=[cover()]),
        "transparent.webp": _encode(with_alpha, "WEBP", lossless=True, exact=True),
        "rotated.webp": _encode(cover(), "WEBP", exif=_turned(6)),
        "truncated.webp": _encode(cover(), "WEBP")[:700],
        "photo.avif": _encode(cover(), "AVIF"),
        "rotated.avif": _encode(cover(), "AVIF", exif=_turned(6)),
        "phone.heic": _encode(cover(), "HEIF"),
        "archive.jp2": _encode(cover(), "JPEG2000"),
        "mirrored.jpg": jpeg(exif=_turned(5)),
        "rotated.png": _encode(cover(), "PNG", exif=_turned(6)),
        "transparent-16-bit.png": _png(
            100, 100, 16, 0, _rows16(grey16), transparent=grey16[5, 5].tobytes()
        ),
        "transparent-grey.png": _encode(with_alpha.convert("LA"), "PNG"),
        "rotated-truncated.jpg": with_exif[: len(with_exif) * 9 // 10],
        "rotated-damaged.jpg": _wiped(with_exif),
        "padding-before-end.jpg": jpeg()[:-2] + b"\0" * 65 + b"\xff\xd9",
        "text-before-end.jpg": jpeg()[:-2] + b"Created with a tool\n" + b"\xff\xd9",
        "padding-progressive.jpg": jpeg(progressive=True)[:-2]
        + b"\xff" * 64
        + b"\0" * 64
        + b"\xff\xd9",
        "jfif-version.jpg": _with(jpeg(), b"JFIF\0", b"\0\0"),
        "scan-header.jpg": _with_wrong_scan_header(jpeg()),
        "adobe-transform.jpg": _with_adobe_transform(jpeg()),
        "large-text.png": _encode(cover(), "PNG", pnginfo=long_text),
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


@pytest.mark.parametrize("name", [name for name in REJECTED if name.startswith("many-scans")])
def test_many_scans_are_refused_before_any_is_decoded(name: str, result: Any) -> None:
    rows = result.quarantined
    (detail,) = rows["detail"][rows["path"] == f"rock/{name}"]
    assert re.search(r"a JPEG of \d+ scans", detail)


def test_nothing_else_is_quarantined_and_nothing_is_lost(result: Any) -> None:
    assert len(result.quarantined) == len(REJECTED)
    accepted = len(ACCEPTED) + len(CONVERTED) + len(IMPERFECT)
    assert result.summary.rows_given == len(REJECTED) + accepted
    assert result.summary.examples == accepted
    counts = result.summary.converted | result.summary.corrected
    assert counts == Counter(CONVERTED.values())
    assert set(result.summary.corrected) == {"rotated", "transparent", "CMYK"}
    assert result.summary.imperfect == len(IMPERFECT)
    assert result.summary.clutter == {}


@pytest.mark.parametrize("name", [*ACCEPTED, *IMPERFECT])
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


@pytest.mark.parametrize("name", CONVERTED)
def test_a_converted_image_is_what_people_see(
    name: str, folder: Path, by_name: dict[str, tf.train.Example]
) -> None:
    original = (folder / "rock" / name).read_bytes()
    feature = by_name[name].features.feature
    encoded = feature["image/encoded"].bytes_list.value[0]
    expected = _upright_on_white(original)
    np.testing.assert_array_equal(tf.io.decode_png(encoded).numpy(), expected)
    assert feature["image/format"].bytes_list.value == [b"PNG"]
    assert feature["image/id"].bytes_list.value == [hashlib.sha256(original).hexdigest().encode()]
    assert feature["image/size"].int64_list.value == [len(original)]
    sides = [feature[f"image/{side}"].int64_list.value[0] for side in ("height", "width")]
    assert sides == list(expected.shape[:2])
    # `covers predict` asks the model about the same bytes.
    assert read_image(folder / "rock" / name) == encoded


def _upright_on_white(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "I;16":
            grey = np.asarray(image) // 257
            grey[np.asarray(image) == image.info.get("transparency")] = 255
            return np.repeat(grey[:, :, None], 3, axis=2)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return np.asarray(image.convert("RGB"))


def test_the_background_can_be_chosen(
    tmp_path: Path, draw_cover: Draw, ingest: Callable[..., Any]
) -> None:
    (tmp_path / "rock").mkdir()
    for seed in range(6):
        clear = draw_cover(seed, 100).convert("RGBA")
        clear.putalpha(0)
        clear.putpixel((seed, 0), (9, 9, 9, 255))
        (tmp_path / "rock" / f"{seed}.png").write_bytes(_encode(clear, "PNG"))
    result = ingest(tmp_path, background="#ff8000")
    ((_, example), *_) = result.examples().values()
    encoded = example.features.feature["image/encoded"].bytes_list.value[0]
    assert tf.io.decode_png(encoded).numpy()[50, 50].tolist() == [255, 128, 0]


def test_bytes_that_damage_leaves_over_are_no_padding(draw_cover: Draw) -> None:
    """A wrong byte can end the picture early: what follows is "extraneous" to the decoder, too."""
    rng = np.random.default_rng(1)
    refused = 0
    for seed in range(20):
        whole = _encode(draw_cover(seed, 100), "JPEG", quality=90)
        scan = whole.index(b"\xff\xda") + 20
        for at in rng.integers(scan, len(whole) - 20, 10):
            damaged = _flip(whole, int(at))
            complaint = _complaint(damaged)
            refused += bool(complaint)
            assert not (complaint and is_whole_jpeg(damaged, complaint, _decode))
    assert refused > 50


@pytest.mark.parametrize("value", [0x00, 0x20])
def test_a_scan_whose_end_was_overwritten_is_no_padded_one(value: int) -> None:
    """Zeros and spaces decode to a picture, and what it does not need looks like padding."""
    looks_padded = 0
    for seed in range(5):
        for share in (0.2, 0.5, 0.8, 0.95):
            damaged = _filled(_noisy(seed), share, value)
            complaint = _complaint(damaged)
            looks_padded += "extraneous bytes before marker 0xd9" in complaint
            assert not is_whole_jpeg(damaged, complaint, _decode)
    assert looks_padded > 10


@pytest.mark.parametrize(
    "padding",
    [bytes(8), bytes(65), bytes(5000), b"\xaa" * 30, b" " * 40, b"made by a tool, v1.2\r\n" * 3],
)
def test_padding_of_a_whole_scan_is_harmless(padding: bytes, draw_cover: Draw) -> None:
    for seed in range(20):
        for options in ({}, {"progressive": True}, {"optimize": True}):
            whole = _encode(draw_cover(seed, 100), "JPEG", quality=90, **options)
            padded = whole[:-2] + padding + whole[-2:]
            complaint = _complaint(padded)
            assert not complaint or is_whole_jpeg(padded, complaint, _decode), (seed, options)


def _complaint(encoded: bytes) -> str:
    try:
        simplejpeg.decode_jpeg(encoded, strict=True)
    except ValueError as error:
        return str(error)
    return ""


def _decode(encoded: bytes) -> np.ndarray:
    return tf.io.decode_jpeg(encoded).numpy()


def _as_people_see(encoded: bytes) -> np.ndarray:
    encoded = without_comments(encoded) if encoded.startswith(b"\x89PNG") else encoded
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


def test_the_orientation_of_the_file_is_recorded(by_name: dict[str, tf.train.Example]) -> None:
    orientations = {
        name: example.features.feature["image/orientation"].int64_list.value[0]
        for name, example in by_name.items()
    }
    assert orientations["mirrored.jpg"] == 5
    turned = {name for name, value in orientations.items() if value != 1}
    assert {"rotated.jpg", "rotated.png", "rotated.webp", "mirrored.jpg"} <= turned
    assert not turned & {*ACCEPTED, *IMPERFECT}


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


def test_a_folder_that_cannot_be_listed_is_said_to_hold_an_unknown_number_of_covers(
    tmp_path: Path,
    write_cover: Write,
    ingest: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(40):
        write_cover(tmp_path / ("rock", "pop")[number % 2] / f"{number}.jpg", number)
    for number in range(14):
        write_cover(tmp_path / "rock" / "live" / f"{number}.jpg", 100 + number)
    scandir = os.scandir

    def refuse(path: os.PathLike[str] | str) -> object:
        if str(path).endswith("rock/live"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = ingest(tmp_path)
    assert found.reasons() == {"rock/live": "unreadable_folder"}
    assert "Permission denied. The covers in it are unknown" in found.quarantined["detail"][0]
    assert found.summary.unreadable_folders == ("rock/live",)
    assert "1 folder could not be listed (rock/live)" in describe_ingest(found.summary)


def test_a_file_that_grows_is_read_to_its_first_size(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    assert DataDirectory(tmp_path, 5).read("a.jpg") == ("a.jpg", b"12345")
    with pytest.raises(RowRejected, match="at most 4 bytes"):
        DataDirectory(tmp_path, 4).read("a.jpg")
