"""The image check: facts, or a reason to set the row aside."""

from __future__ import annotations

import io

import numpy as np
import pillow_heif
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.contracts.quarantine import RowRejected
from components.cover_example_gen.images import AcceptedImages, inspect_images
from tests.fuzz.mutations import CORPUS, mutated, only

pillow_heif.register_heif_opener()

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF")
ACCEPTED = AcceptedImages(("JPEG", "PNG"), 1, 10_000)
TOKENS = [
    b"\xff\xd8",
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xe1Exif\0\0",
    b"IHDR",
    b"tRNS",
    b"IDAT",
    b"RIFF",
    b"II*\0",
]


def _seeds() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels).resize((24, 24))
    seeds = []
    for name in FORMATS:
        for mode in ("RGB", "L") if name in ("JPEG", "PNG") else ("RGB",):
            content = io.BytesIO()
            picture.convert(mode).save(content, name)
            seeds.append(content.getvalue())
    content = io.BytesIO()
    picture.save(content, "PNG")
    progressive = io.BytesIO()
    picture.convert("RGB").save(progressive, "JPEG", progressive=True)
    kept = [path.read_bytes() for path in sorted(CORPUS.glob("*.image"))]
    return [*seeds, content.getvalue(), progressive.getvalue(), *kept]


@given(content=mutated(_seeds(), TOKENS) | st.binary(max_size=100))
def test_images(content: bytes) -> None:
    with only():
        (found,) = inspect_images([content], ACCEPTED)
    if isinstance(found, RowRejected):
        assert len(found.detail) < 1000
    else:
        assert found.width
        assert found.height
        assert 0 <= found.brightness <= 1
