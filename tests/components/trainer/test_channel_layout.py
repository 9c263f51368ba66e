"""Where the channels of feature maps are strong."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from components.trainer.backbone import build_backbones
from components.trainer.channel_layout import ChannelLayout, shares
from components.trainer.config import Backbone


def layout(maps: np.ndarray) -> np.ndarray:
    image = keras.Input(maps.shape[1:])
    return keras.Model(image, ChannelLayout()(image)).predict(maps, verbose=0)


def test_each_part_has_the_mean_of_its_places():
    maps = np.random.default_rng(0).normal(size=(4, 6, 12, 5)).astype(np.float32)
    expected = maps.reshape(4, 3, 2, 3, 4, 5).mean(axis=(2, 4)).reshape(4, -1)
    np.testing.assert_allclose(layout(maps), expected, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 12, 16])
def test_every_place_counts_alike_in_all(length):
    found = shares(length)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), 3 / length, atol=1e-6)
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-6)  # neither end counts more


def test_a_map_of_one_place_is_the_same_everywhere():
    maps = np.random.default_rng(0).normal(size=(2, 1, 1, 5)).astype(np.float32)
    np.testing.assert_allclose(layout(maps), np.tile(maps.reshape(2, 5), 9), atol=1e-6)


@pytest.mark.parametrize("name", ["EfficientNetLite0", "MobileNetV2"])
def test_layout_adds_parts_to_style(name):
    images = np.random.default_rng(0).integers(0, 256, (2, 70, 70, 3)).astype(np.float32)
    style, whole = (
        build_backbones([Backbone(name=name, weights="none", features=features)], 70)
        for features in ("style", "layout")
    )
    whole.set_weights(style.get_weights())
    known, found = style.predict(images, verbose=0), whole.predict(images, verbose=0)
    np.testing.assert_allclose(found[:, : known.shape[1]], known, rtol=1e-3, atol=1e-4)
    parts = found[:, known.shape[1] :].reshape(2, 9, -1)
    assert whole.output_shape[-1] == found.shape[1]
    assert parts.std(axis=1).max() > 0
    means = np.sort(parts.mean(axis=1), axis=None)  # those of a whole stage
    assert np.abs(known[:, :, None] - means[-1]).min() < 1e-3 * abs(means[-1])
