"""What is compared of covers, as columns; and the covers of data, which a model is asked about."""

from __future__ import annotations

import dataclasses
import glob
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.contracts import label_schema
from components.contracts.label_schema import DECODABLE_FORMATS
from components.contracts.quarantine import Reason, RowRejected
from components.contracts.request_log.records import Facts
from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import (
    DECISIONS,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
)
from components.cover_example_gen.images import AcceptedImages, inspect_image
from components.support.errors import ConfigError
from components.support.file_systems import is_url
from pipeline.commands.batch_prediction.covers import list_covers, no_covers
from pipeline.commands.predict import accept_with_facts

IMAGE_SATURATION = "image/saturation"
"""Mean saturation of the pixels, 0 (grey) to 1: computed here, of both sides alike."""

FACTS = (
    label_schema.IMAGE_FORMAT,
    label_schema.IMAGE_WIDTH,
    label_schema.IMAGE_HEIGHT,
    label_schema.IMAGE_SIZE,
    label_schema.IMAGE_BRIGHTNESS,
    IMAGE_SATURATION,
)

_LARGEST_SIDE = 65_535
_BATCH_SIZE = 32
_SMALL_SIDE = 64

FactsOf = dict[str, str | int | float]


@dataclasses.dataclass(frozen=True)
class Covers:
    """Distinct covers, as columns.

    Attributes:
        facts: each of `FACTS` -> its values, shape (covers,).
        probabilities: float64 (covers, genres).
        decisions: bool (covers, genres).
        left_out: reason -> records or rows that are not among them.
    """

    facts: Mapping[str, npt.NDArray[Any]]
    probabilities: npt.NDArray[np.float64]
    decisions: npt.NDArray[np.bool_]
    left_out: Counter[str]

    def __len__(self) -> int:
        return len(self.probabilities)


class Columns:
    """Collects covers one by one.

    Args:
        genres: how many there are.
    """

    def __init__(self, genres: int) -> None:
        self._genres = genres
        self._facts: list[FactsOf] = []
        self._outputs: list[tuple[Sequence[float], Sequence[Any]]] = []
        self.left_out: Counter[str] = Counter()

    def add(self, facts: FactsOf, probabilities: Sequence[float], decisions: Sequence[Any]) -> None:
        """Adds a cover."""
        self._facts.append(facts)
        self._outputs.append((probabilities, decisions))

    def covers(self) -> Covers:
        """Returns the covers added so far."""
        shape = (len(self._outputs), self._genres)
        return Covers(
            columns_of(self._facts),
            np.array([each[0] for each in self._outputs], np.float64).reshape(shape),
            np.array([each[1] for each in self._outputs]).reshape(shape) > 0.5,
            self.left_out,
        )


def columns_of(facts: Sequence[FactsOf]) -> dict[str, npt.NDArray[Any]]:
    """Returns each of `FACTS` -> its values."""
    return {name: np.array([each[name] for each in facts]) for name in FACTS}


def facts_of(encoded: bytes, known: Mapping[str, str | int | float] | None = None) -> FactsOf:
    """Returns what is compared of a JPEG or PNG.

    Args:
        encoded: the image as the model sees it.
        known: facts that are known already; what is missing is looked up in the image.

    Raises:
        RowRejected: the image cannot be decoded.
    """
    known = known or {}
    if not all(name in known for name in FACTS if name != IMAGE_SATURATION):
        accepted = AcceptedImages(DECODABLE_FORMATS, 1, _LARGEST_SIDE)
        known = {**_named(inspect_image(encoded, accepted)), **known}
    return {**known, IMAGE_SATURATION: saturation(encoded)}


def saturation(encoded: bytes) -> float:
    """Returns the mean saturation of an image's pixels, 0 (grey) to 1.

    Raises:
        RowRejected: Pillow cannot decode the image.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=DECODABLE_FORMATS) as image:
            image.draft("RGB", (_SMALL_SIDE, _SMALL_SIDE))
            small = image.convert("RGB")
    except Exception as error:  # whatever Pillow makes of bytes that are no image
        detail = f"Expected an image. Received: {type(error).__name__}: {error}."
        raise RowRejected(Reason.UNDECODABLE_IMAGE, detail) from error
    small.thumbnail((_SMALL_SIDE, _SMALL_SIDE))
    return round(float(np.asarray(small.convert("HSV"))[:, :, 1].mean()) / 255, 4)


def read_covers(data: Path | str, model: Path) -> Covers:
    """Asks a model about covers, by its serving signature; the same file twice is one cover.

    Args:
        data: see `list_covers`.
        model: folder of a SavedModel of this project.

    Raises:
        ConfigError: there is nothing at `data`, or no image in it.
        DataError: a manifest cannot be read.
        DeploymentError: the folder holds no model of this project, or a damaged one.
    """
    given = str(data)
    if not is_url(given) and not Path(given).exists() and not glob.has_magic(given):
        raise ConfigError(f"Expected a file or folder at {given}. Received: nothing there.")
    loaded = load_saved_model(model, SERVING_SIGNATURE)
    columns = Columns(len(loaded.description.genres))
    waiting: list[tuple[bytes, FactsOf]] = []

    def ask() -> None:
        if waiting:
            found = loaded.ask(**{IMAGE_BYTES: [encoded for encoded, _ in waiting]})
            answers = zip(found[PROBABILITIES].tolist(), found[DECISIONS].tolist(), strict=True)
            for (_, facts), answer in zip(waiting, answers, strict=True):
                columns.add(facts, *answer)
            waiting.clear()

    for cover in _images(given, loaded.description.background, columns.left_out):
        waiting.append(cover)
        if len(waiting) == _BATCH_SIZE:
            ask()
    ask()
    covers = columns.covers()
    if not len(covers) and not covers.left_out:
        raise no_covers([given])
    return covers


def _images(data: str, background: str, left_out: Counter[str]) -> Iterator[tuple[bytes, FactsOf]]:
    """Yields the distinct images of some data as a model sees them, and what is compared."""
    seen: set[str] = set()
    for cover in list_covers([data], passed_over=left_out):
        try:
            stored, facts = accept_with_facts(cover.content(), background)
            if facts.image_id in seen:
                left_out["the same cover again"] += 1
                continue
            seen.add(facts.image_id)
            yield stored, facts_of(stored, _named(facts))
        except RowRejected as rejected:
            left_out[rejected.reason.value] += 1


def _named(facts: Facts) -> FactsOf:
    return {
        label_schema.IMAGE_FORMAT: facts.format,
        label_schema.IMAGE_WIDTH: facts.width,
        label_schema.IMAGE_HEIGHT: facts.height,
        label_schema.IMAGE_SIZE: facts.size,
        label_schema.IMAGE_BRIGHTNESS: facts.brightness,
    }
