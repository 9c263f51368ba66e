"""Backbones in an object store, and what tells one content from another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import keras
import numpy as np
import pytest

from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from components.trainer.foundation.files import fingerprint
from components.trainer.head import split_at_features
from components.trainer.model import build_model

URL = "s3://bucket/encoders/mean"
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)


def save(folder: Path, factor: float) -> Path:
    image = keras.Input((16, 16, 3), name="image")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(factor)(image))
    model = keras.Model(image, mean)
    model.save(folder / "mean.keras")
    model.export(folder / "saved", verbose=False)
    return folder


def extract(**backbone: Any) -> np.ndarray:
    config = TrainerConfig.from_fields({"backbone": backbone, "image_size": 16})
    return np.asarray(split_at_features(build_model(config, 2).network)[0](IMAGES))


def test_what_is_in_an_object_store_is_fetched_and_what_replaces_it_too(
    s3: dict[str, str], tmp_path: Path
) -> None:
    store = fsspec.filesystem("s3")
    prints = set()
    for factor in (1.0, 0.5):
        save(tmp_path, factor)
        store.put(f"{tmp_path}/saved/", f"{URL}/saved/", recursive=True)
        store.put_file(str(tmp_path / "mean.keras"), f"{URL}.keras")
        for given in ({"saved_model": f"{URL}/saved"}, {"keras": f"{URL}.keras"}):
            np.testing.assert_allclose(extract(**given), IMAGES.mean((1, 2)) * factor, rtol=1e-5)
        prints |= {fingerprint(f"{URL}/saved"), fingerprint(f"{URL}.keras")}
    assert len(prints) == 4


def test_nothing_at_a_url_is_said(s3: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"s3://bucket/none\. Received: nothing there"):
        extract(saved_model="s3://bucket/none")


def test_a_fingerprint_follows_from_names_and_content(tmp_path: Path) -> None:
    assert fingerprint(str(tmp_path)) == fingerprint(str(tmp_path / "absent")) == ""
    seen = set()
    for name, content in (("a", b"1"), ("a", b"2"), ("sub/b", b"2")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        seen.add(fingerprint(str(tmp_path)))
    assert len(seen) == 3
    assert fingerprint(str(tmp_path / "a")) == fingerprint(str(tmp_path / "sub" / "b"))
