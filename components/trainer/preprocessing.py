"""From encoded cover to model input: one function for training, evaluation and serving."""

from __future__ import annotations

import functools

import tensorflow as tf

_JPEG_RATIOS = (1, 2, 4, 8)
_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def decode_and_resize(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """Decodes one JPEG or PNG cover and resizes it to a square.

    Grey covers become RGB, an alpha channel is dropped, 16-bit samples keep their high byte.
    A JPEG of at least twice the size is decoded at a half, a quarter or an eighth of it, which
    libjpeg does in the frequency domain: faster, and an average over pixels where the bilinear
    resize alone would pick single ones. The rest is a bilinear resize without antialiasing, as
    `keras.utils.image_dataset_from_directory` does it, that ignores the aspect ratio. The result
    is rounded to uint8, so that a cover kept in memory takes a quarter of the space and equals
    the one that serving computes.

    Args:
        encoded: tf.string, shape (): the bytes of the file.
        image_size: side of the square, in pixels.

    Returns:
        tf.uint8, shape (image_size, image_size, 3), values 0 to 255.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not a whole JPEG or PNG file.
    """
    is_jpeg = tf.equal(tf.strings.substr(encoded, 0, len(_JPEG_MAGIC)), _JPEG_MAGIC)
    is_png = tf.equal(tf.strings.substr(encoded, 0, len(_PNG_MAGIC)), _PNG_MAGIC)
    check = tf.debugging.Assert(
        tf.logical_or(is_jpeg, is_png),
        [
            "Expected the bytes of a JPEG or PNG file. Received a file of",
            tf.strings.length(encoded),
            "bytes that begins with",
            tf.strings.substr(encoded, 0, 8),
        ],
    )
    with tf.control_dependencies([] if tf.executing_eagerly() else [check]):
        encoded = tf.identity(encoded)
    image = tf.cond(
        is_jpeg,
        lambda: _decode_jpeg(encoded, image_size),
        lambda: tf.io.decode_image(encoded, channels=3, dtype=tf.uint8, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    resized = tf.image.resize(image, [image_size, image_size], method="bilinear")
    return tf.cast(tf.round(resized), tf.uint8)


def _decode_jpeg(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """Decodes at the smallest of libjpeg's scales that leaves both sides at `image_size`."""
    shorter = tf.reduce_min(tf.io.extract_jpeg_shape(encoded)[:2])
    usable = [shorter >= ratio * image_size for ratio in _JPEG_RATIOS[1:]]
    branches = [
        functools.partial(tf.io.decode_jpeg, encoded, channels=3, ratio=ratio)
        for ratio in _JPEG_RATIOS
    ]
    return tf.switch_case(tf.reduce_sum(tf.cast(usable, tf.int32)), branches)


def decode_and_resize_batch(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """Applies `decode_and_resize` to a batch.

    Args:
        encoded: tf.string, shape (batch,).
        image_size: side of the square, in pixels.

    Returns:
        tf.uint8, shape (batch, image_size, image_size, 3).

    Raises:
        tf.errors.InvalidArgumentError: an element is not a whole JPEG or PNG file.
    """
    return tf.map_fn(
        lambda element: decode_and_resize(element, image_size),
        encoded,
        fn_output_signature=tf.TensorSpec([image_size, image_size, 3], tf.uint8),
    )
