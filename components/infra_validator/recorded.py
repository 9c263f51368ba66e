"""The requests: covers of the test split as they are, and what else clients send."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.contracts import signatures
from components.contracts.examples_account import check_split
from components.contracts.files import COMPRESSED_SUFFIX, split_folder
from components.contracts.label_schema import IMAGE_ENCODED, IMAGE_ID, TEST_SPLIT
from components.support.compat import input_options

if TYPE_CHECKING:
    from PIL import Image

MANY = 32
"""The least size of a large batch; fewer covers are repeated."""

COVERS = "recorded covers"
EXAMPLES = "recorded examples"
ONE = "one cover"
AFTERWARDS = "one cover, after a refusal"
PIXELS = "pixels of a cover"
PIXELS_AS_PNG = "PNG of the model's size"
EMPTY = ("no cover", "no example", "no pixels")
NO_IMAGES = ("text instead of an image", "no bytes", "text among covers")

Request = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Covers of the test split.

    Attributes:
        ids: identity of each.
        covers: their encoded images.
        examples: their serialized tf.Examples.
    """

    ids: tuple[str, ...]
    covers: tuple[bytes, ...]
    examples: tuple[bytes, ...]


def read_recorded(examples: Path | str, count: int) -> Recorded:
    """Reads the first covers of the test split.

    Args:
        examples: the folder of the Examples artifact.
        count: how many; all, if there are fewer.

    Raises:
        DamagedArtifact: the examples are not those that ingest wrote.
    """
    import tensorflow as tf

    check_split(examples, TEST_SPLIT)
    serialized: tuple[bytes, ...] = ()
    for file in sorted(split_folder(examples, TEST_SPLIT).glob("*")):
        zipped = "GZIP" if file.name.endswith(COMPRESSED_SUFFIX) else ""
        records = tf.data.TFRecordDataset(str(file), zipped).with_options(input_options())
        serialized += tuple(records.take(count - len(serialized)).as_numpy_iterator())
    features = [tf.train.Example.FromString(each).features.feature for each in serialized]
    return Recorded(
        ids=tuple(map(_identity, features)),
        covers=tuple(each[IMAGE_ENCODED].bytes_list.value[0] for each in features),
        examples=serialized,
    )


def _identity(features: Any) -> str:
    return str(features[IMAGE_ID].bytes_list.value[0].decode("utf-8", errors="backslashreplace"))


def write_requests(folder: Path, recorded: Recorded, side: int) -> list[Request]:
    """Writes the files of all requests, and returns the requests as `probe.py` reads them.

    Args:
        folder: where to write.
        recorded: at least one cover.
        side: of the model's input, pixels.
    """
    covers = _write(folder, "cover", recorded.covers)
    examples = _write(folder, "example", recorded.examples)
    junk, nothing = _write(folder, "junk", (b"This is no image. " * 9, b""))
    one = covers[:1]
    kinds = image_kinds(recorded.covers[0])
    pixels = _picture(recorded.covers[0]).resize((side, side))
    as_png = _write(folder, "pixels-as-png", (_encoded(pixels, "PNG"),))
    raw, none = _write(folder, "pixels", (np.asarray(pixels, np.uint8).tobytes(), b""))
    no_cover, no_example, no_pixels = EMPTY
    return [
        _images(COVERS, _many(covers)),
        _of_files(EXAMPLES, signatures.EXAMPLES_SIGNATURE, signatures.EXAMPLES, _many(examples)),
        _images(ONE, one),
        *(
            _images(name, [file])
            for name, file in zip(kinds, _write(folder, "kind", kinds.values()), strict=True)
        ),
        _images(PIXELS_AS_PNG, as_png),
        _of_pixels(PIXELS, raw, [1, side, side, 3]),
        _images(no_cover, []),
        _of_files(no_example, signatures.EXAMPLES_SIGNATURE, signatures.EXAMPLES, []),
        _of_pixels(no_pixels, none, [0, side, side, 3]),
        *map(_images, NO_IMAGES, ([junk], [nothing], [*one, junk])),
        _images(AFTERWARDS, one),
    ]


def image_kinds(cover: bytes) -> dict[str, bytes]:
    """Returns a cover in the formats, colours and sizes that clients send."""
    picture = _picture(cover)
    transparent = picture.copy()
    transparent.putalpha(128)
    return {
        "JPEG": _encoded(picture, "JPEG"),
        "PNG": _encoded(picture, "PNG"),
        "grey JPEG": _encoded(picture.convert("L"), "JPEG"),
        "grey PNG": _encoded(picture.convert("L"), "PNG"),
        "CMYK JPEG": _encoded(picture.convert("CMYK"), "JPEG"),
        "PNG with alpha": _encoded(transparent, "PNG"),
        "PNG of 1 x 1": _encoded(picture.resize((1, 1)), "PNG"),
        "JPEG of 8 x 8": _encoded(picture.resize((8, 8)), "JPEG"),
        "JPEG of 400 x 40": _encoded(picture.resize((400, 40)), "JPEG"),
        "JPEG of 2000 x 2000": _encoded(picture.resize((2000, 2000)), "JPEG"),
    }


def many(count: int) -> list[int]:
    """Returns which of `count` covers are in the large batch: each once, or repeatedly."""
    return [place % count for place in range(max(count, MANY))]


def _many(files: Sequence[str]) -> list[str]:
    return [files[place] for place in many(len(files))]


def _images(name: str, files: Sequence[str]) -> Request:
    return _of_files(name, signatures.SERVING_SIGNATURE, signatures.IMAGE_BYTES, files)


def _of_files(name: str, signature: str, key: str, files: Sequence[str]) -> Request:
    return {"name": name, "signature": signature, "input": key, "files": list(files)}


def _of_pixels(name: str, file: str, shape: list[int]) -> Request:
    signature, key = signatures.PIXELS_SIGNATURE, signatures.PIXELS
    return {"name": name, "signature": signature, "input": key, "pixels": file, "shape": shape}


def _write(folder: Path, name: str, contents: Any) -> list[str]:
    return list(_written(folder, name, contents))


def _written(folder: Path, name: str, contents: Any) -> Iterator[str]:
    for number, content in enumerate(contents):
        file = folder / f"{name}-{number}"
        file.write_bytes(content)
        yield str(file)


def _picture(cover: bytes) -> Image.Image:
    from PIL import Image  # what the pipeline is compiled with does without it

    with Image.open(io.BytesIO(cover)) as opened:
        return opened.convert("RGB")


def _encoded(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()
