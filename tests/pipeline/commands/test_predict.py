from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from components.contracts.quarantine import RowRejected
from pipeline.commands.predict import read_image

Write = Callable[..., Path]


def test_images_are_read_whatever_their_size(tmp_path: Path, write_cover: Write) -> None:
    small = write_cover(tmp_path / "small.jpg", 1, side=20)
    link = tmp_path / "link.jpg"
    link.symlink_to(small)
    assert [read_image(file) for file in (small, link)] == [small.read_bytes()] * 2


def test_what_ingest_refuses_is_refused_with_its_reason(tmp_path: Path, write_cover: Write) -> None:
    good = write_cover(tmp_path / "good.jpg", 1)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good.read_bytes()[:-500])
    (tmp_path / "page.jpg").write_text("<html></html>")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(tmp_path / "fifo.jpg")
    reasons = []
    for name in ("cut.jpg", "page.jpg", "loop.jpg", "fifo.jpg", "gone.jpg"):
        with pytest.raises(RowRejected, match=r"Expected .* Received") as caught:
            read_image(tmp_path / name)
        reasons.append(caught.value.reason.value)
    assert reasons == [
        "undecodable_image",
        "not_an_image",
        "unreadable_file",
        "not_a_file",
        "missing_file",
    ]


def test_transparent_pixels_show_the_background(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    for background, pixel in (("#ffffff", (255, 255, 255)), ("#ff8000", (255, 128, 0))):
        encoded = read_image(tmp_path / "clear.png", background)
        with Image.open(io.BytesIO(encoded)) as stored:
            assert stored.getpixel((40, 40)) == pixel
