"""Small pictures of covers, inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from components.contracts.files import COMPRESSED_SUFFIX, split_folder
from components.contracts.label_schema import IMAGE_ENCODED, IMAGE_ID, TEST_SPLIT
from components.support.compat import input_options

_THUMBNAIL_SIDE = 132
_THUMBNAIL_QUALITY = 72


def thumbnails(
    examples: Path, wanted: Collection[str], splits: Sequence[str] = (TEST_SPLIT,)
) -> dict[str, str]:
    """Returns small JPEG pictures of covers of some splits as `data:` URIs, by identity.

    A cover that Pillow cannot read has none.
    """
    import tensorflow as tf

    spec = {
        IMAGE_ID: tf.io.FixedLenFeature((), tf.string),
        IMAGE_ENCODED: tf.io.FixedLenFeature((), tf.string),
    }
    missing = set(wanted)
    pictures: dict[str, str] = {}
    files = [
        str(path) for split in splits for path in sorted(split_folder(examples, split).glob("*"))
    ]
    for file in files:
        zipped = "GZIP" if file.endswith(COMPRESSED_SUFFIX) else ""
        for record in tf.data.TFRecordDataset(file, zipped).with_options(input_options()):
            if not missing:
                return pictures
            cover = tf.io.parse_single_example(record, spec)
            identity = cover[IMAGE_ID].numpy().decode("utf-8", errors="backslashreplace")
            if identity not in missing:
                continue
            missing.remove(identity)
            if picture := data_uri(cover[IMAGE_ENCODED].numpy()):
                pictures[identity] = picture
    return pictures


def data_uri(encoded: bytes, side: int = _THUMBNAIL_SIDE) -> str | None:
    """Returns an image, scaled down to fit a square, as a `data:` URI; None if it is broken."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            small = ImageOps.contain(image.convert("RGB"), (side, side))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
