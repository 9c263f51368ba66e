"""From encoded cover to model input: one function for training, evaluation and serving."""

from __future__ import annotations

import tensorflow as tf

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def decode_and_resize(encoded: tf.Tensor, image_size: int) -> tf.Tensor:
    """Decodes one JPEG or PNG cover and resizes it to a square.

    Grey covers become RGB, an alpha channel is dropped, 16-bit samples keep their high byte.
    The resize is bilinear without antialiasing, as `keras.utils.image_dataset_from_directory`
    does it, and ignores the aspect ratio. The result is rounded to uint8, so that a cover
    cached in memory takes a quarter of the space and equals the one that serving computes.

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
    image = tf.io.decode_image(encoded, channels=3, dtype=tf.uint8, expand_animations=False)
    image.set_shape([None, None, 3])
    resized = tf.image.resize(image, [image_size, image_size], method="bilinear")
    return tf.cast(tf.round(resized), tf.uint8)


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
