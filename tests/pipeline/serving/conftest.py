"""A tiny exported model, and a server of it in this process."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from pipeline.serving.app import create_app
from pipeline.serving.model import ModelHolder, ServedModel, load_model
from pipeline.serving.settings import ServingSettings
from tests.pipeline.tiny_models import export_tiny_model

GENRE_NAMES = ("electronic", "jazz", "<b>pop</b>")
VERSION = 7


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel whose answers depend on a cover's mean colour."""
    return export_tiny_model(tmp_path_factory.mktemp("served") / "model", GENRE_NAMES)


@pytest.fixture(scope="session")
def served(tiny_model: Path) -> ServedModel:
    return load_model(tiny_model, VERSION, str(tiny_model))


@pytest.fixture
def push(tiny_model: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Returns a function that puts the model to a destination as a version, in one step."""

    def put(version: int) -> Path:
        destination = tmp_path / "destination"
        partial = tmp_path / f"partial-{version}"
        shutil.copytree(tiny_model, partial)
        destination.mkdir(exist_ok=True)
        return partial.rename(destination / str(version))

    return put


@pytest.fixture(scope="session")
def start(served: ServedModel) -> Callable[..., TestClient]:
    """Returns a function that makes a client of a server with other settings than usual."""

    def make(holder: ModelHolder | None = None, **settings: object) -> TestClient:
        changed = ServingSettings(**settings)  # type: ignore[arg-type]
        return TestClient(create_app(changed, holder or ModelHolder(served)))

    return make


@pytest.fixture(scope="module")
def client(start: Callable[..., TestClient]) -> Iterator[TestClient]:
    with start() as client:
        yield client


@pytest.fixture(scope="session")
def cover(draw_cover: Callable[..., Image.Image]) -> Callable[..., bytes]:
    """Returns a function that encodes the cover of a seed."""

    def encode(seed: int, kind: str = "JPEG", mode: str = "RGB", side: int = 60) -> bytes:
        file = io.BytesIO()
        draw_cover(seed, side).convert(mode).save(file, kind)
        return file.getvalue()

    return encode
