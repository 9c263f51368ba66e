"""Where a model puts the covers that it was trained on: what `covers why` finds the nearest among.

`cover_embeddings.npz` lies in the trainer's model_run artifact. An embedding is what the last layer
of the network sees of a cover; the exported model computes that of other covers, too.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from components.contracts.stored_arrays import reading_arrays

_FILE = "cover_embeddings.npz"


@dataclasses.dataclass(frozen=True)
class CoverEmbeddings:
    """Covers that a network was fitted to, as it sees them.

    Attributes:
        ids: identity of each cover.
        paths: where each came from; the first path, if there are several.
        labels: bool (covers, genres).
        embeddings: float (covers, n).
    """

    ids: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    embeddings: np.ndarray


def write_cover_embeddings(model_run: Path, covers: CoverEmbeddings) -> None:
    """Writes `cover_embeddings.npz` into the folder of a training run, in half precision."""
    largest = np.finfo(np.float16).max
    arrays = {
        "ids": np.array(covers.ids, np.str_),
        "paths": np.array(covers.paths, np.str_),
        "labels": covers.labels.astype(bool),
        "embeddings": np.clip(covers.embeddings, -largest, largest).astype(np.float16),
    }
    np.savez_compressed(model_run / _FILE, **arrays)  # type: ignore[arg-type]


def read_cover_embeddings(model_run: Path) -> CoverEmbeddings | None:
    """Reads what `write_cover_embeddings` wrote; None where there are no embeddings.

    Raises:
        DeploymentError: the file holds something else.
    """
    path = model_run / _FILE
    if not path.is_file():
        return None
    with reading_arrays(path, "the embeddings of covers") as stored:
        found = CoverEmbeddings(
            tuple(stored["ids"].tolist()),
            tuple(stored["paths"].tolist()),
            stored["labels"],
            stored["embeddings"].astype(np.float32),
        )
        rows = {len(found.paths), len(found.labels), len(found.embeddings)}
        if rows != {len(found.ids)} or found.labels.ndim != 2 or found.embeddings.ndim != 2:
            raise ValueError("arrays that do not belong together")
        return found
