"""What the request log keeps of an answered cover: a tf.train.Example with the keys of ingest."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

from components.contracts import label_schema
from components.contracts.request_log.image_metadata import without_metadata
from components.contracts.signatures import DECISIONS, PROBABILITIES

MODEL_VERSION = "model/version"
TIME = "time"

_HOUR = 3600


class Facts(Protocol):
    """What is known about an image; ingest's `ImageFacts` has them all."""

    @property
    def format(self) -> str:
        """`JPEG` or `PNG`."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def size(self) -> int:
        """Bytes of the file that was sent."""

    @property
    def orientation(self) -> int:
        """EXIF orientation of the file that was sent, 1 to 8."""

    @property
    def brightness(self) -> float:
        """Mean grey level, 0 to 1."""


@dataclasses.dataclass(frozen=True)
class AnsweredCover:
    """One record of the log.

    Attributes:
        image_id: sha256 of the image without metadata, hex.
        encoded: that image.
        facts: feature key -> value, as ingest's examples have them; absent ones were not known.
        probabilities: one for each genre of the model.
        decisions: 1 for each genre that was decided, else 0.
        version: the model version that answered.
        hour: when, in seconds since 1970, rounded down to the hour.
    """

    image_id: str
    encoded: bytes
    facts: dict[str, str | int | float]
    probabilities: tuple[float, ...]
    decisions: tuple[int, ...]
    version: str
    hour: int


def serialized_record(
    encoded: bytes,
    facts: Facts | None,
    probabilities: Sequence[float],
    decisions: Sequence[Any],
    version: str | int,
    seconds: float,
) -> bytes:
    """Returns a serialized tf.train.Example; nothing in it tells who asked.

    Raises:
        ValueError: the image's metadata cannot be taken out.
    """
    from tensorflow.core.example import example_pb2

    picture = without_metadata(encoded)
    example = example_pb2.Example()
    features = example.features.feature

    def text(name: str, value: str) -> None:
        features[name].bytes_list.value.append(value.encode())

    def integers(name: str, *values: int) -> None:
        features[name].int64_list.value.extend(values)

    # The hash is of what is kept: that of the file as sent would tell one person's copy.
    text(label_schema.IMAGE_ID, hashlib.sha256(picture).hexdigest())
    features[label_schema.IMAGE_ENCODED].bytes_list.value.append(picture)
    if facts is not None:
        text(label_schema.IMAGE_FORMAT, facts.format)
        integers(label_schema.IMAGE_WIDTH, facts.width)
        integers(label_schema.IMAGE_HEIGHT, facts.height)
        integers(label_schema.IMAGE_SIZE, facts.size)
        integers(label_schema.IMAGE_ORIENTATION, facts.orientation)
        features[label_schema.IMAGE_BRIGHTNESS].float_list.value.append(facts.brightness)
    features[PROBABILITIES].float_list.value.extend(map(float, probabilities))
    integers(DECISIONS, *(int(bool(decision)) for decision in decisions))
    text(MODEL_VERSION, str(version))
    integers(TIME, int(seconds // _HOUR) * _HOUR)
    return bytes(example.SerializeToString(deterministic=True))


def parse_record(content: bytes) -> AnsweredCover:
    """Reads what `serialized_record` returned.

    Raises:
        ValueError: the content is something else.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.example import example_pb2

    try:
        features = example_pb2.Example.FromString(content).features.feature
    except DecodeError as error:
        raise ValueError(str(error)) from error

    def values(key: str) -> list[Any]:
        feature = features.get(key)
        kind = feature.WhichOneof("kind") if feature is not None else None
        return list(getattr(feature, kind).value) if kind else []

    def one(key: str) -> Any:
        found = values(key)
        if len(found) != 1:
            raise ValueError(f"{len(found)} values of {key}")
        return found[0]

    facts = {
        key: found[0].decode() if isinstance(found[0], bytes) else found[0]
        for key in label_schema.IMAGE_FACTS
        if (found := values(key))
    }
    probabilities, decisions = values(PROBABILITIES), values(DECISIONS)
    if not probabilities or len(probabilities) != len(decisions):
        raise ValueError(f"{len(probabilities)} probabilities and {len(decisions)} decisions")
    return AnsweredCover(
        image_id=one(label_schema.IMAGE_ID).decode(),
        encoded=one(label_schema.IMAGE_ENCODED),
        facts=facts,
        probabilities=tuple(map(float, probabilities)),
        decisions=tuple(map(int, decisions)),
        version=one(MODEL_VERSION).decode(),
        hour=int(one(TIME)),
    )
