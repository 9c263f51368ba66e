"""Asks a pushed model for the genres of image files, through its serving signature."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from components.contracts.backgrounds import DEFAULT_BACKGROUND
from components.contracts.genre_names import listing
from components.contracts.label_schema import DECODABLE_FORMATS
from components.contracts.quarantine import RowRejected
from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import (
    DECISIONS,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
)
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.images import (
    AcceptedImages,
    ImageFacts,
    inspect_image,
    stored_image,
)
from components.support.errors import DeploymentError

_BATCH_SIZE = 32
LARGEST_FILE = 32 << 20
_LARGEST_SIDE = 65_535
_MOST_SHOWN = 50


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the model predicts for one image.

    Attributes:
        image: the file's path or URL as given.
        probabilities: genre -> probability.
        decided: the genres whose probability reaches the model's threshold for them.
    """

    image: str
    probabilities: dict[str, float]
    decided: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the prediction ready for JSON."""
        return {
            "image": self.image,
            "genres": list(self.decided),
            "probabilities": self.probabilities,
        }

    def __str__(self) -> str:
        genres = listing(self.decided, _MOST_SHOWN) or "none of the genres"
        shown = list(self.probabilities.items())
        if len(shown) > _MOST_SHOWN:
            shown = sorted(shown, key=lambda genre: -genre[1])[:_MOST_SHOWN]
        listed = "  ".join(f"{genre} {value:.2f}" for genre, value in shown)
        hidden = len(self.probabilities) - len(shown)
        more = f"  and {hidden:,} lower ones, see --json" if hidden else ""
        return f"{self.image}: {genres}  ({listed}{more})"


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A file that ingest would set aside as well: its reason, and what was expected."""

    image: str
    reason: str
    error: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the reason ready for JSON."""
        return {"image": self.image, "reason": self.reason, "error": self.error}

    def __str__(self) -> str:
        return f"{self.image}: {self.error} ({self.reason})"


class Readable(Protocol):
    """A cover that can be read.

    Attributes:
        name: what the answer calls it.
    """

    @property
    def name(self) -> str: ...

    def read(self, background: str) -> bytes:
        """Returns the image as the model is to see it, or raises RowRejected."""
        ...


def predict_covers(
    model_directory: Path, covers: Iterable[Readable]
) -> Iterator[Prediction | Unreadable]:
    """Yields what the model says of covers, in their order, or why one cannot be read.

    Args:
        model_directory: folder of a SavedModel of this project.
        covers: read one batch at a time.

    Raises:
        DeploymentError: the folder holds no model of this project, or a damaged one.
    """
    model = load_saved_model(model_directory, SERVING_SIGNATURE)
    description = model.description

    def predict(encoded: Sequence[bytes]) -> Iterator[tuple[list[float], list[bool]]]:
        outputs = model.ask(**{IMAGE_BYTES: encoded})
        expected = (len(encoded), len(description.genres))
        for name in (PROBABILITIES, DECISIONS):
            if name not in outputs or outputs[name].shape != expected:
                raise DeploymentError(
                    f"Expected {name} for each of {expected[1]} genres from the model in "
                    f"{model_directory}. Received: other outputs. Export the model again."
                )
        yield from zip(outputs[PROBABILITIES].tolist(), outputs[DECISIONS].tolist(), strict=True)

    remaining = iter(covers)
    while batch := list(itertools.islice(remaining, _BATCH_SIZE)):
        read = [_read(cover, description.background) for cover in batch]
        encoded = [each for each in read if isinstance(each, bytes)]
        answers = predict(encoded) if encoded else iter(())
        for cover, each in zip(batch, read, strict=True):
            if isinstance(each, Unreadable):
                yield each
                continue
            probabilities, decisions = next(answers)
            decided = zip(description.genres, decisions, strict=True)
            yield Prediction(
                image=cover.name,
                probabilities=dict(zip(description.genres, probabilities, strict=True)),
                decided=tuple(genre for genre, yes in decided if yes),
            )


def _read(cover: Readable, background: str) -> bytes | Unreadable:
    try:
        return cover.read(background)
    except RowRejected as rejected:
        return Unreadable(cover.name, rejected.reason.value, rejected.detail)


def read_image(image: Path, background: str = DEFAULT_BACKGROUND) -> bytes:
    """Reads a file as ingest stores it, converted if need be.

    Raises:
        RowRejected: ingest would refuse the file, except for the schema's size limits.
    """
    return accept_image(read_file(image), background)


def read_file(image: Path) -> bytes:
    """Returns the bytes of a file.

    Raises:
        RowRejected: ingest would refuse it unseen.
    """
    file = Path(os.path.realpath(image))
    return DataDirectory(file.parent, LARGEST_FILE).read(file.name)[1]


def accept_image(encoded: bytes, background: str = DEFAULT_BACKGROUND) -> bytes:
    """Returns what the model is to see of a file's bytes: the same, or the converted image.

    Raises:
        RowRejected: ingest would refuse it, for another reason than the schema's size limits.
    """
    return accept_with_facts(encoded, background)[0]


def accept_with_facts(encoded: bytes, background: str) -> tuple[bytes, ImageFacts]:
    """Returns what `accept_image` does, and what looking at the file found.

    Raises:
        RowRejected: as `accept_image`.
    """
    accepted = AcceptedImages(DECODABLE_FORMATS, 1, _LARGEST_SIDE, background)
    facts = inspect_image(encoded, accepted)
    return stored_image(encoded, facts, background), facts
