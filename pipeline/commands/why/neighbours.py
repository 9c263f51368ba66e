"""The covers that a model was fitted to which are nearest to a cover, as the model sees them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.contracts import nodes
from components.contracts.cover_embeddings import CoverEmbeddings, read_cover_embeddings
from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT
from components.contracts.signatures import read_model_description
from components.support.errors import ConfigError, CoversError
from pipeline.commands.model_runs import find_model_run
from pipeline.commands.stored_runs import find_stored_run

SHOWN = 6
COUNTED = 20
"""Among so many of the nearest the genres are counted."""

_KEPT = (nodes.MODEL_RUN, nodes.EXAMPLES)


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A cover that the model was fitted to.

    Attributes:
        identity: of the cover.
        path: where it came from.
        genres: its labels.
        similarity: cosine of its embedding and that of the cover asked about.
    """

    identity: str
    path: str
    genres: tuple[str, ...]
    similarity: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the cover ready for JSON."""
        return {
            "id": self.identity,
            "cover": self.path,
            "genres": list(self.genres),
            "similarity": round(self.similarity, 4),
        }


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The nearest covers of those that the model was fitted to.

    Attributes:
        covers: the nearest `SHOWN`, the nearest first.
        genres: genre -> how many of the nearest `counted` have it, the most frequent first.
        counted: `COUNTED`, or all covers if there are fewer.
        among: how many covers were looked at.
        itself: the cover asked about, if the model was trained on it; it is not among the others.
    """

    covers: tuple[Neighbour, ...]
    genres: dict[str, int]
    counted: int
    among: int
    itself: Neighbour | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the covers ready for JSON."""
        return {
            "covers": [each.to_dict() for each in self.covers],
            "genres": self.genres,
            "counted": self.counted,
            "among": self.among,
            "itself": self.itself.to_dict() if self.itself else None,
        }


class TrainingCovers:
    """The covers that a model was trained on.

    Args:
        genres: names of the columns of the labels.
        known: their embeddings.
        examples: folder of the run's examples, for pictures.
    """

    def __init__(self, genres: tuple[str, ...], known: CoverEmbeddings, examples: Path) -> None:
        self._genres = genres
        self._known = known
        self._examples = examples
        self._directions = _directions(known.embeddings)

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return int(self._directions.shape[1])

    def nearest(self, embedding: np.ndarray, identity: str) -> Nearest:
        """Returns the covers nearest to another.

        Args:
            embedding: of the cover, shape (n,).
            identity: of the cover, which is not among its own neighbours.
        """
        similarity = self._directions @ _directions(embedding[None])[0]
        order = np.argsort(-similarity, kind="stable")[: COUNTED + 1].tolist()
        covers = [self._cover(row, float(similarity[row])) for row in order]
        itself = next((cover for cover in covers if cover.identity == identity), None)
        others = [cover for cover in covers if cover is not itself][:COUNTED]
        counts = Counter(genre for cover in others for genre in cover.genres)
        return Nearest(
            tuple(others[:SHOWN]), dict(counts.most_common()), len(others), len(self), itself
        )

    def pictures(self, wanted: Collection[str]) -> dict[str, str]:
        """Returns small pictures of covers as `data:` URIs, by identity."""
        from components.report_gen.pictures import thumbnails

        return thumbnails(self._examples, wanted, (TRAIN_SPLIT, EVAL_SPLIT))

    def __len__(self) -> int:
        return len(self._known.ids)

    def _cover(self, row: int, similarity: float) -> Neighbour:
        labels = self._known.labels[row]
        genres = tuple(genre for genre, on in zip(self._genres, labels, strict=True) if on)
        return Neighbour(self._known.ids[row], self._known.paths[row], genres, similarity)


@contextlib.contextmanager
def open_training_covers(
    pipeline_root: Path, model: Path, run: str | None, artifacts: str | None
) -> Iterator[TrainingCovers | str]:
    """Gives the covers that a model was trained on, or says why they are not at hand.

    Args:
        pipeline_root: where runs landed.
        model: folder of the model, perhaps a copy.
        run: a run's id, or the beginning of it; None is the newest that made the model.
        artifacts: where Kubeflow Pipelines keeps the artifacts of its runs; None looks in the
            pipeline root.

    Raises:
        CoversError: a run or artifacts were named, and are not there or damaged.
    """
    with contextlib.ExitStack() as stack:
        try:
            if artifacts is None:
                wanted = {
                    nodes.MODEL_RUN: nodes.TRAINER,
                    nodes.EXAMPLES: nodes.COVER_EXAMPLE_GEN,
                }
                folders = find_model_run(pipeline_root, model, run, wanted).folders
            else:
                recipe = read_model_description(model).recipe
                stored = find_stored_run(artifacts, recipe, run, _KEPT)
                folders = stack.enter_context(stored.local())
        except ConfigError as error:
            if run or artifacts:
                raise
            yield f"No training covers are at hand. {error}"
            return
        yield _training_covers(model, folders[nodes.MODEL_RUN], folders[nodes.EXAMPLES])


def _training_covers(model: Path, model_run: Path, examples: Path) -> TrainingCovers | str:
    genres = read_model_description(model).genres
    known = read_cover_embeddings(model_run)
    if known is None or not len(known.ids):
        return (
            "No training covers are at hand: the run that made the model wrote no embeddings. "
            "Earlier versions of this project did not, nor does a network whose last layer sees "
            "thousands of numbers. Train again with `covers run`."
        )
    if known.labels.shape[1] != len(genres):
        raise CoversError(
            f"Expected labels of {len(genres)} genres in {model_run}, as the model has. Received: "
            f"{known.labels.shape[1]}. Name the run that made the model with --run."
        )
    return TrainingCovers(genres, known, examples)


def _directions(embeddings: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.maximum(lengths, 1e-9), np.float32)
