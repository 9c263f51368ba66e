"""The test covers on a map: covers that the model sees alike lie close together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from components.contracts.predictions import Predictions

RIGHT, PARTLY, WRONG = "right", "partly", "wrong"
MARKS = (RIGHT, PARTLY, WRONG)
"""The genres decided are those of the cover; some are; none is."""

NEAREST = 10
_MOST = 1_000
_FEWEST = 30
_COMPONENTS = 50
_PERPLEXITY = 30.0
_SEED = 0


def describe_map(
    predictions: Predictions, ids: Sequence[str], embeddings: npt.NDArray[np.float32]
) -> dict[str, Any] | None:
    """Returns where each test cover lies, and how much the covers of a genre keep together.

    t-SNE (van der Maaten and Hinton, 2008) of the embeddings' directions: neighbours are kept,
    distances are not.

    Args:
        predictions: the model's, of the test split.
        ids: identities of the covers that have an embedding.
        embeddings: shape (len(ids), n).

    Returns:
        `covers`, each with `id`, `path`, `genres`, `decided`, `mark`, and `x` and `y` from 0 to 1;
        `genres`, genre -> `covers`, the number of each mark, `near`, the share of the nearest
        covers that have the genre too, and `share`, that of all covers; `left_out`, covers that
        are not on the map. None for too few covers, or a network that sees no difference.
    """
    places = {identity: place for place, identity in enumerate(predictions.ids)}
    known = np.array([identity in places for identity in ids], bool)
    rows = np.array([places[identity] for identity in ids if identity in places], int)[:_MOST]
    seen = embeddings[known][:_MOST]
    if len(rows) < _FEWEST or not np.isfinite(seen).all():
        return None
    directions = seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-9)
    if np.ptp(directions, axis=0).max() < 1e-6:
        return None
    labels, decisions = predictions.labels[rows], predictions.decisions[rows]
    marks = _marks(labels, decisions)
    return {
        "covers": [
            {
                "id": predictions.ids[row],
                "path": predictions.paths[row],
                "genres": _names(predictions.genres, predictions.labels[row]),
                "decided": _names(predictions.genres, predictions.decisions[row]),
                "mark": mark,
                "x": round(float(x), 4),
                "y": round(float(y), 4),
            }
            for row, mark, (x, y) in zip(rows, marks, _positions(directions), strict=True)
        ],
        "genres": _together(predictions.genres, labels, marks, directions),
        "left_out": len(predictions) - len(rows),
    }


def _positions(directions: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Returns a place in the unit square for each cover."""
    count = min(_COMPONENTS, *directions.shape)
    reduced = PCA(count, svd_solver="full").fit_transform(directions.astype(np.float64))
    if count < 2:
        reduced = np.column_stack([reduced, np.zeros(len(reduced))])
    perplexity = min(_PERPLEXITY, (len(reduced) - 1) / 3)
    flat = TSNE(perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(reduced)
    low, high = flat.min(axis=0), flat.max(axis=0)
    return np.asarray((flat - low) / np.maximum(high - low, 1e-9))


def _marks(labels: npt.NDArray[np.bool_], decisions: npt.NDArray[np.bool_]) -> list[str]:
    right = (labels == decisions).all(axis=1)
    partly = (labels & decisions).any(axis=1)
    return np.where(right, RIGHT, np.where(partly, PARTLY, WRONG)).tolist()


def _together(
    genres: Sequence[str],
    labels: npt.NDArray[np.bool_],
    marks: Sequence[str],
    directions: npt.NDArray[np.float32],
) -> dict[str, dict[str, Any]]:
    search = NearestNeighbors(n_neighbors=min(NEAREST, len(labels) - 1)).fit(directions)
    shared = labels[search.kneighbors(return_distance=False)].mean(axis=1)
    mark = np.array(marks)
    return {
        genre: {
            "covers": int(has.sum()),
            **{name: int(np.sum(has & (mark == name))) for name in MARKS},
            "near": float(shared[has, place].mean()) if has.any() else None,
            "share": float(has.mean()),
        }
        for place, (genre, has) in enumerate(zip(genres, labels.T, strict=True))
    }


def _names(genres: Sequence[str], chosen: npt.NDArray[np.bool_]) -> list[str]:
    return [genre for genre, on in zip(genres, chosen, strict=True) if on]
