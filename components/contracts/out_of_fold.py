"""What models that did not see a cover predict for it: out-of-fold predictions of train and eval.

`out_of_fold.npz` lies in the trainer's model_run artifact where a frozen backbone's features were
kept. With the predictions of the test split, they tell which labels are probably wrong.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from components.contracts.stored_arrays import reading_arrays

_FILE = "out_of_fold.npz"


@dataclasses.dataclass(frozen=True)
class OutOfFold:
    """Covers with predictions of a model that was fitted without them and their near-duplicates.

    Attributes:
        ids: identity of each cover.
        paths: where each came from; the first path, if there are several.
        labels: bool (covers, genres).
        probabilities: float32 (covers, genres).
    """

    ids: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray


def write_out_of_fold(model_run: Path, predictions: OutOfFold) -> None:
    """Writes `out_of_fold.npz` into the folder of a training run."""
    arrays = {
        "ids": np.array(predictions.ids, np.str_),
        "paths": np.array(predictions.paths, np.str_),
        "labels": predictions.labels.astype(bool),
        "probabilities": predictions.probabilities.astype(np.float32),
    }
    np.savez_compressed(model_run / _FILE, **arrays)  # type: ignore[arg-type]


def read_out_of_fold(model_run: Path) -> OutOfFold | None:
    """Reads what `write_out_of_fold` wrote; None where there are no such predictions.

    Raises:
        DeploymentError: the file holds something else.
    """
    path = model_run / _FILE
    if not path.is_file():
        return None
    with reading_arrays(path, "out-of-fold predictions") as stored:
        return OutOfFold(
            tuple(stored["ids"].tolist()),
            tuple(stored["paths"].tolist()),
            stored["labels"],
            stored["probabilities"],
        )
