from __future__ import annotations

import keras
import numpy as np
import pytest

from components.support.errors import ConfigError
from components.trainer import backbone as module
from components.trainer.backbone import build_backbones
from components.trainer.channel_correlations import ChannelCorrelations
from components.trainer.config import Backbone


@pytest.fixture(scope="module")
def layer() -> keras.Model:
    image = keras.Input((None, None, 6))
    return keras.Model(image, ChannelCorrelations()(image))


@pytest.mark.parametrize("shape", [(2, 6), (7, 5), (24, 24)])
def test_correlations_are_those_of_numpy(layer, shape):
    maps = np.random.default_rng(0).normal(size=(3, *shape, 6)).astype(np.float32)
    pairs = np.triu_indices(6, 1)
    expected = [np.corrcoef(cover.reshape(-1, 6).T)[pairs] for cover in maps]
    np.testing.assert_allclose(layer(maps), expected, atol=2e-3)


def test_a_constant_channel_correlates_with_none(layer):
    maps = np.random.default_rng(0).normal(size=(1, 5, 5, 6)).astype(np.float32)
    maps[..., 2] = 4.0
    with_it = np.any(np.stack(np.triu_indices(6, 1)) == 2, axis=0)
    found = layer(maps).numpy()[0]
    np.testing.assert_allclose(found[with_it], 0.0, atol=1e-4)
    assert np.abs(found[~with_it]).min() > 0


def test_where_on_the_cover_something_is_does_not_matter(layer):
    maps = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)
    moved = np.roll(maps, (1, 2), axis=(1, 2))[:, :, ::-1]
    np.testing.assert_allclose(layer(maps), layer(moved), atol=1e-4)


def test_style_adds_pairs_of_channels_to_the_statistics_of_stages():
    sizes = {
        features: build_backbones(
            [Backbone(name="EfficientNetLite0", weights="none", features=features)], 64
        ).output_shape[-1]
        for features in ("stages", "style")
    }
    assert sizes["style"] - sizes["stages"] == 112 * 111 // 2


def test_a_network_of_wide_stages_has_no_style(monkeypatch):
    monkeypatch.setattr(module, "_MOST_CORRELATED", 8)
    with pytest.raises(ConfigError, match=r"at most 8 channels.*have 16 or more.*features: stages"):
        build_backbones([Backbone(name="EfficientNetLite0", weights="none", features="style")], 64)
