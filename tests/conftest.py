"""Small real covers for all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.contracts.label_schema import LabelSchema

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--other-line",
        metavar="DIR",
        help="The pipeline root of `make run` on the other dependency line, see .ci/run.",
    )


@pytest.fixture(scope="session")
def schema_path() -> Path:
    return ROOT / "schema" / "schema.pbtxt"


@pytest.fixture(scope="session")
def labels(schema_path: Path) -> LabelSchema:
    return LabelSchema.from_file(schema_path)


@pytest.fixture(scope="session")
def draw_cover() -> Callable[..., Image.Image]:
    """Returns a function that draws a distinct cover for each seed."""

    def draw(seed: int, side: int = 100) -> Image.Image:
        random = np.random.default_rng(seed)
        blocks = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(blocks).resize((side, side), Image.Resampling.BICUBIC)

    return draw


@pytest.fixture(scope="session")
def write_cover(draw_cover: Callable[..., Image.Image]) -> Callable[..., Path]:
    """Returns a function that writes a distinct cover for each seed."""

    def write(path: Path, seed: int, side: int = 100, quality: int = 90) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_cover(seed, side).save(path, quality=quality)
        return path

    return write
