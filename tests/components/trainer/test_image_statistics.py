"""Colours, edges, strokes and patterns are those of the cover, and reach the served model."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from components.contracts import signatures
from components.support.errors import ConfigError
from components.trainer import image_statistics as module
from components.trainer.config import TrainerConfig
from components.trainer.export import export_model
from components.trainer.features import features_key
from components.trainer.head import split_at_features
from components.trainer.image_statistics import ImageStatistics
from components.trainer.model import build_model, check_buildable
from components.trainer.preprocessing import decode_and_resize_batch
from components.trainer.thresholds import DecisionRule

SIDE = 64


@pytest.fixture(scope="module")
def statistics() -> keras.Model:
    image = keras.Input((None, None, 3))
    return keras.Model(image, ImageStatistics()(image))


def config(**changes: Any) -> TrainerConfig:
    return TrainerConfig.model_validate(
        {"backbone": "ImageStatistics", "image_size": SIDE, "layers": ["BatchNormalization"]}
        | changes
    )


def plain(*colour: int, side: int = SIDE) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.float32), (1, side, side, 3))


def noise(side: int = SIDE, covers: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (covers, side, side, 3)).astype(np.float32)


def stripes(across: int, down: int, period: int = 8) -> np.ndarray:
    """Waves of brightness along (across, down)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = np.sin(2 * np.pi * (across * x + down * y) / period)
    return np.repeat(127.5 + 100 * wave[None, :, :, None], 3, axis=-1).astype(np.float32)


def brightness(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=-1, keepdims=True) / 255


def directions(images: np.ndarray) -> np.ndarray:
    """How much of the whole cover's edges has each direction."""
    return np.square(module._edges(brightness(images), (1, 3))[0][0])


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((255, 0, 0), (0.532, 0.801, 0.672)),
        ((0, 0, 255), (0.323, 0.792, -1.079)),
        ((255, 255, 255), (1.0, 0.0, 0.0)),
        ((12, 12, 12), (0.0328, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
    ],
)
def test_colours_are_those_of_the_standard(colour, expected):
    np.testing.assert_allclose(module._lab(plain(*colour) / 255)[0, 0, 0], expected, atol=2e-3)


def test_a_red_cover_differs_from_a_blue_one_and_equals_itself_at_another_size(statistics):
    red, blue, large = (
        statistics(plain(*colour, side=side)).numpy()[0]
        for colour, side in (((200, 20, 20), 64), ((20, 20, 200), 64), ((200, 20, 20), 150))
    )
    assert np.linalg.norm(red - blue) > 1.0
    np.testing.assert_allclose(red, large, atol=1e-3)


@pytest.mark.parametrize("images", [plain(0, 0, 0), plain(255, 255, 255), noise(), stripes(1, 0)])
@pytest.mark.parametrize("side", [64, 97])
def test_every_cover_of_any_size_has_numbers(statistics, images, side):
    images = np.asarray(tf.image.resize(images, (side, side)))
    found = statistics(images).numpy()
    assert found.shape == (1, statistics.output_shape[-1])
    assert np.isfinite(found).all()
    assert found.min() >= 0


def test_shares_of_a_histogram_add_up_to_one():
    colours = module._colours(module._lab(noise() / 255))
    np.testing.assert_allclose(np.square(colours[0]).sum(), 1.0, atol=1e-4)
    np.testing.assert_allclose(np.square(module._patterns(brightness(noise()))).sum(), 1, atol=1e-4)


def test_grey_covers_have_no_hue(statistics):
    grey = noise().mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    joint = np.square(module._colours(module._lab(grey / 255))[0]).reshape(7, 7, 6)
    np.testing.assert_allclose(joint[3, 3].sum(), 1.0, atol=0.02)
    assert np.isfinite(statistics(grey)).all()


def test_edges_have_directions():
    upright, level, falling, rising = (
        directions(stripes(*along)) for along in ((1, 0), (0, 1), (1, 1), (1, -1))
    )
    assert int(upright.argmax()) != int(level.argmax())
    for sloping in (falling, rising):
        assert {*np.argsort(sloping)[-2:]}.isdisjoint({upright.argmax(), level.argmax()})
    np.testing.assert_allclose(falling, rising, rtol=1e-3)


@pytest.mark.parametrize("side", [64, 256])
def test_a_cover_and_its_mirror_image_are_alike_and_one_upside_down_is_not(statistics, side):
    cover = noise(side) * np.linspace(0, 1, side)[None, :, None, None]  # darker at the top
    cover[:, :, : side // 4] = 60
    same, mirrored, turned = (
        statistics(each).numpy()[0] for each in (cover, cover[:, :, ::-1], cover[:, ::-1])
    )
    assert np.abs(same - mirrored).max() < 1e-3
    assert np.abs(same - turned).max() > 0.1


def test_cells_know_how_high_something_is_and_the_whole_cover_does_not():
    above = np.concatenate([stripes(1, 0)[:, :32], plain(127, 127, 127)[:, :32]], axis=1)
    below = above[:, ::-1]
    whole, cells, *_ = zip(
        module._edges(brightness(above), (1, 3)),
        module._edges(brightness(below), (1, 3)),
        strict=True,
    )
    np.testing.assert_allclose(*whole, atol=0.02)
    assert np.abs(cells[0] - cells[1]).max() > 0.1


def test_a_coloured_edge_counts_where_brightness_has_none(statistics):
    cover = plain(200, 0, 100).copy()
    cover[:, :, 20:44] = (0, 200, 100)  # as bright
    turned = np.swapaxes(cover, 1, 2)
    assert np.linalg.norm(statistics(cover) - statistics(turned)) > 1.0


def test_small_print_has_more_strokes_than_a_gradual_change():
    text = np.zeros((1, SIDE, SIDE, 3), np.float32)
    text[:, ::6, 8:56] = text[:, 2:60:6, 9:50:5] = 255
    gradual = np.repeat(np.linspace(0, 255, SIDE, dtype=np.float32)[None, None, :, None], 3, -1)
    gradual = np.broadcast_to(gradual, text.shape)
    strokes = [module._strokes(brightness(each))[0].numpy().sum() for each in (text, gradual)]
    assert strokes[0] > 10 * strokes[1]


def test_patterns_are_counted_as_the_definition_says():
    # Differences are so large that every neighbour is surely brighter or surely darker.
    image = np.random.default_rng(1).permutation(144).reshape(12, 12)
    counts = np.zeros(256)
    for cover in (image, image[:, ::-1]):
        for row, column in itertools.product(range(1, 11), repeat=2):
            code = 0
            for top, left in ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)):
                code = 2 * code + (cover[row - 1 + top, column - 1 + left] > cover[row, column])
            counts[code] += 0.5
    found = np.square(module._patterns(image[None, :, :, None].astype(np.float32)))[0]
    np.testing.assert_allclose(found, counts / 100, atol=1e-6)


def test_a_little_noise_changes_little(statistics):
    cover = stripes(2, 1)
    shaken = cover + np.random.default_rng(2).normal(0, 0.01, cover.shape).astype(np.float32)
    first, second, other = (statistics(each).numpy()[0] for each in (cover, shaken, noise()))
    assert np.linalg.norm(first - second) < 0.02 * np.linalg.norm(first - other)


def test_small_covers_are_refused_with_the_smallest_size():
    with pytest.raises(ConfigError, match=r"backbone \(ImageStatistics\).*at least 64 px"):
        check_buildable(config(image_size=63), 3)
    check_buildable(config(), 3)


def test_there_is_nothing_to_load_or_to_train():
    for option in ({"weights": "imagenet"}, {"fine_tune": "all"}, {"features": "stages"}):
        with pytest.raises(ValidationError, match=next(iter(option))):
            config(backbone={"name": "ImageStatistics", **option})
    found = TrainerConfig.model_validate({"backbone": "ImageStatistics"})
    assert (found.image_size, found.trains_on_features) == (256, True)
    assert found.layers[0] == {
        "BatchNormalization": {"center": False, "scale": False, "momentum": 0.95}
    }
    assert TrainerConfig.from_json(found.model_dump_json()) == found


def test_they_stand_beside_a_network():
    network = {"name": "EfficientNetLite0", "weights": "none", "features": "stages"}
    both = config(backbone=[{**network, "fine_tune": "none"}, "ImageStatistics"])
    assert both.trains_on_features
    found, alone = (
        split_at_features(build_model(each, 3).network)[0](noise()) for each in (both, config())
    )
    np.testing.assert_allclose(found[:, -alone.shape[-1] :], alone, atol=1e-5)


def test_kept_features_follow_from_the_size_and_the_code(monkeypatch, tmp_path):
    def key(**changes: Any) -> str:
        made = config(**changes)
        return features_key(split_at_features(build_model(made, 3).network)[0], made)

    first = key()
    assert key(layers=[{"Dense": {"units": 3}}], seed=3) == first
    other = tmp_path / "other.py"
    other.write_text("changed")
    sizes = {first, key(image_size=72)}
    monkeypatch.setattr(module, "__file__", str(other))
    assert len({*sizes, key()}) == 3


def test_the_served_model_sees_what_training_sees(covers, schema, tmp_path):
    made = config(layers=[{"Dense": {"units": 8, "activation": "relu"}}], output_bias="zeros")
    network = build_model(made, len(schema.genres)).network
    rule = DecisionRule(np.full(len(schema.genres), 0.5, np.float32))
    export_model(network, schema.genres, rule, "recipe-1", tmp_path)
    encoded = tf.constant(covers.encoded["eval"])
    served = tf.saved_model.load(str(tmp_path)).signatures[signatures.SERVING_SIGNATURE]
    found = served(image_bytes=encoded)[signatures.PROBABILITIES].numpy()
    extractor, head = split_at_features(network)
    features = extractor.predict_on_batch(decode_and_resize_batch(encoded, SIDE))
    np.testing.assert_allclose(found, head(features), atol=1e-5)
    assert found.std() > 0
