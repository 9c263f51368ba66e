"""The model that is served: loaded, tried once, and exchanged while requests go on."""

from __future__ import annotations

import dataclasses
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import (
    DECISIONS,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
    ModelDescription,
)
from components.support.errors import DeploymentError
from pipeline.serving.signatures import read_signatures

Outputs = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A version that can be asked.

    Attributes:
        version: its number.
        location: the folder or URL that it was loaded from.
        description: what it is.
        signatures: its signatures as TensorFlow Serving prints them.
        ask: encoded images to probabilities and decisions, each of shape (images, genres);
            raises DeploymentError.
    """

    version: int
    location: str
    description: ModelDescription
    signatures: Mapping[str, Any]
    ask: Callable[[Sequence[bytes]], Outputs]

    @property
    def genres(self) -> tuple[str, ...]:
        """The names of its outputs."""
        return self.description.genres


class ModelHolder:
    """Where requests find the model; whoever has taken one keeps it until done.

    Attributes:
        failed: version -> why it could not be loaded, for those newer than the one served.
    """

    def __init__(self, model: ServedModel | None = None) -> None:
        self._model = model
        self._lock = threading.Lock()
        self.failed: Mapping[int, str] = {}

    @property
    def model(self) -> ServedModel | None:
        """The version that is served, or None."""
        return self._model

    def exchange(self, model: ServedModel) -> ServedModel | None:
        """Serves another version from now on, and returns the one before."""
        with self._lock:
            before, self._model = self._model, model
            newer = {number: why for number, why in self.failed.items() if number > model.version}
            self.failed = newer
        return before

    def note_failure(self, version: int, message: str) -> None:
        """Remembers why a version is not served."""
        with self._lock:
            self.failed = {**self.failed, version: message}


def load_model(folder: Path, version: int, location: str) -> ServedModel:
    """Loads a version and asks it once, so that the first client does not wait.

    Args:
        folder: where the model's files are.
        version: its number.
        location: where they came from.

    Raises:
        DeploymentError: it is damaged, no model of this project, or does not answer.
    """
    loaded = load_saved_model(folder, SERVING_SIGNATURE)
    genres = len(loaded.description.genres)

    def ask(images: Sequence[bytes]) -> Outputs:
        outputs = loaded.ask(**{IMAGE_BYTES: list(images)})
        for name in (PROBABILITIES, DECISIONS):
            if name not in outputs or outputs[name].shape != (len(images), genres):
                raise DeploymentError(
                    f"Expected {name} for each of {genres} genres from the model in {location}. "
                    "Received: other outputs. Export the model again."
                )
        return outputs[PROBABILITIES], outputs[DECISIONS].astype(np.int64)

    ask([_blank(loaded.description.image_size)])
    return ServedModel(version, location, loaded.description, read_signatures(folder), ask)


def _blank(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "JPEG")
    return file.getvalue()
