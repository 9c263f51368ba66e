"""What an exported model offers: signature names, output keys and its description file.

Clients (prediction, evaluation, reports) read this module instead of loading TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from components.contracts.backgrounds import DEFAULT_BACKGROUND
from components.contracts.files import SAVED_MODEL_FILE
from components.contracts.records import UNREADABLE
from components.support.errors import DeploymentError
from components.support.texts import shortened

SERVING_SIGNATURE = "serving_default"
EXAMPLES_SIGNATURE = "serve_examples"
PIXELS_SIGNATURE = "serve_pixels"
# Where the last layer of a network sees one vector; then `serve_examples` gives it, too.
EMBEDDINGS_SIGNATURE = "serve_embeddings"
# What the signatures call for one cover or more: a function of the loaded module, from uint8 pixels
# to probabilities, without the detour for none that TensorFlow Lite cannot take.
NETWORK_FUNCTION = "answer"

IMAGE_BYTES = "image_bytes"
EXAMPLES = "examples"
PIXELS = "pixels"
PROBABILITIES = "probabilities"
DECISIONS = "decisions"
GENRES = "genres"
EMBEDDINGS = "embeddings"

DESCRIPTION_FILE = "assets.extra/covers.json"
HISTORY_FILE = "history.json"
CONFIG_FILE = "trainer.json"
WEIGHTS_FILE = "network.weights.h5"

_LARGEST_DESCRIPTION = 8 << 20


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """What an exported model is, as written beside its `saved_model.pb`.

    Attributes:
        genres: genre names in the order of the model's outputs.
        thresholds: one decision threshold per genre; decided when probability >= threshold.
        image_size: side in pixels that covers are resized to.
        recipe: fingerprint of the recipe (code and configuration) that made the model.
        versions: framework name -> version, in the training process.
        at_least_one_genre: where no probability reaches its threshold, the genre that comes
            closest to it is decided.
        background: colour onto which transparent covers were put for training, as `#rrggbb`.
        files: file of the model -> sha256, by which damage is told; empty for older models.
    """

    genres: tuple[str, ...]
    thresholds: tuple[float, ...]
    image_size: int
    recipe: str
    versions: Mapping[str, str]
    at_least_one_genre: bool = False
    background: str = DEFAULT_BACKGROUND
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)


def write_model_description(model_dir: Path | str, description: ModelDescription) -> None:
    """Writes `description` to its place under `model_dir`, making folders as needed."""
    path = Path(model_dir) / DESCRIPTION_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(description), indent=2) + "\n", encoding="utf-8")


def read_model_description(model_dir: Path | str) -> ModelDescription:
    """Reads the description of the SavedModel in `model_dir`.

    Raises:
        DeploymentError: the description is absent, or this project did not write it.
    """
    path = Path(model_dir) / DESCRIPTION_FILE
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_DESCRIPTION + 1)
        if len(content) > _LARGEST_DESCRIPTION:
            raise ValueError(f"more than {_LARGEST_DESCRIPTION:,} bytes")
        fields = json.loads(content.decode("utf-8"))
        description = ModelDescription(
            genres=tuple(str(genre) for genre in fields["genres"]),
            thresholds=tuple(float(threshold) for threshold in fields["thresholds"]),
            image_size=int(fields["image_size"]),
            recipe=str(fields["recipe"]),
            versions=dict(fields["versions"]),
            at_least_one_genre=bool(fields.get("at_least_one_genre", False)),
            background=str(fields.get("background", DEFAULT_BACKGROUND)),
            files={str(name): str(digest) for name, digest in fields.get("files", {}).items()},
        )
    except FileNotFoundError as error:
        raise DeploymentError(
            f"Expected a model exported by this project in {model_dir}. Received: a folder "
            f"without {DESCRIPTION_FILE}. Name the folder that holds {SAVED_MODEL_FILE}."
        ) from error
    except UNREADABLE as error:
        received = shortened(f"{type(error).__name__}: {error}")
        raise DeploymentError(
            f"Expected {path} to describe a model exported by this project. "
            f"Received: {received}. Export the model again."
        ) from error
    if not description.genres or len(description.genres) != len(description.thresholds):
        raise DeploymentError(
            f"Expected {path} to give one decision threshold per genre. Received: "
            f"{len(description.genres)} genres, {len(description.thresholds)} thresholds. "
            "Export the model again."
        )
    return description
