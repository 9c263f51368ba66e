from __future__ import annotations

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.trainer.preprocessing import decode_and_resize, decode_and_resize_batch


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def decode(encoded: bytes, size: int = 16) -> np.ndarray:
    return decode_and_resize(tf.constant(encoded), size).numpy()


@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_shape_and_dtype(encode, pixels, image_format, mode):
    image = decode(encode(pixels, image_format, mode))
    assert image.shape == (16, 16, 3)
    assert image.dtype == np.uint8


def test_same_size_png_is_unchanged(encode, pixels):
    np.testing.assert_array_equal(decode(encode(pixels[:30, :30]), 30), pixels[:30, :30])


def test_halving_averages_four_pixels(encode, pixels):
    expected = pixels.astype(float).reshape(15, 2, 20, 2, 3).mean((1, 3))[:, :15]
    difference = decode(encode(pixels[:, :30]), 15) - expected
    assert np.abs(difference).max() <= 0.5


def test_equals_image_dataset_from_directory_up_to_rounding(encode, pixels, tmp_path):
    (tmp_path / "genre").mkdir()
    (tmp_path / "genre" / "cover.png").write_bytes(encode(pixels))
    batches = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(16, 16), labels=None, verbose=False
    )
    np.testing.assert_allclose(decode(encode(pixels)), next(iter(batches))[0], atol=0.5)


@pytest.mark.parametrize("ratio", [1, 2, 4, 8])
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(encode, draw_cover, ratio):
    encoded = encode(np.asarray(draw_cover(3, side=ratio * 40)), "JPEG")
    scaled = tf.io.decode_jpeg(encoded, ratio=ratio)
    np.testing.assert_array_equal(decode(encoded, 40), scaled)


def test_a_jpeg_is_never_enlarged_after_decoding_it_smaller(encode, draw_cover):
    encoded = encode(np.asarray(draw_cover(3, side=79)), "JPEG")
    whole = tf.image.resize(tf.io.decode_jpeg(encoded), [40, 40])
    np.testing.assert_array_equal(decode(encoded, 40), np.round(whole).astype(np.uint8))


def test_the_shorter_side_decides(encode, draw_cover):
    wide = np.asarray(draw_cover(3, side=160))[:60]
    assert decode(encode(wide, "JPEG"), 40).shape == (40, 40, 3)
    whole = tf.image.resize(tf.io.decode_jpeg(encode(wide, "JPEG")), [40, 40])
    np.testing.assert_array_equal(
        decode(encode(wide, "JPEG"), 40), np.round(whole).astype(np.uint8)
    )


def test_grey_becomes_equal_channels(encode, pixels):
    image = decode(encode(pixels, mode="L"))
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped(encode, pixels, mode):
    opaque = decode(encode(pixels, mode=mode[:-1]))
    np.testing.assert_array_equal(decode(encode(pixels, mode=mode)), opaque)


def test_sixteen_bits_keep_the_high_byte():
    high = np.random.default_rng(2).integers(0, 256, (16, 16)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(high * 256 + 37).save(buffer, format="PNG")
    np.testing.assert_array_equal(decode(buffer.getvalue())[..., 1], high)


def test_palette_png_and_cmyk_jpeg_decode(encode, pixels):
    assert decode(encode(pixels, mode="P")).shape == (16, 16, 3)
    assert decode(encode(pixels, "JPEG", "CMYK")).shape == (16, 16, 3)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_batch_equals_single(encode, pixels, count):
    encoded = [encode(np.roll(pixels, shift, 0)) for shift in range(count)]
    batch = tf.function(lambda cover: decode_and_resize_batch(cover, 16))(
        tf.constant(encoded, tf.string)
    )
    assert batch.shape == (count, 16, 16, 3)
    for image, cover in zip(batch, encoded, strict=True):
        np.testing.assert_array_equal(image, decode(cover))


@pytest.mark.parametrize("encoded", [b"", b"hello", b"GIF89a....", b"RIFF1234WEBPVP8 "])
def test_other_bytes_are_refused_by_name(encoded):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected the bytes of a JPEG or PNG"):
        decode(encoded)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_truncated_files_are_refused(encode, pixels, image_format):
    encoded = encode(pixels, image_format)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid"):
        decode(encoded[: len(encoded) // 2])
