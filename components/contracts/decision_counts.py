"""How often each genre was decided, and was true, on the covers that its threshold was tuned on.

`decision_counts.json` lies in the trainer's model_run artifact, so that whoever knows the test
split can tell whether the thresholds hold there.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from components.contracts.records import read_record, write_record

_FILE = "decision_counts.json"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class DecisionCounts:
    """Counts of covers, by genre in the order of the model's outputs.

    Attributes:
        covers: how many there were.
        true: with the genre.
        decided: for which the model decided on it.
        rightly: both.
    """

    covers: int
    true: tuple[int, ...]
    decided: tuple[int, ...]
    rightly: tuple[int, ...]


def count_decisions(labels: np.ndarray, decisions: np.ndarray) -> DecisionCounts:
    """Counts labels and decisions, both of shape (covers, genres)."""
    true, decided = labels > 0, decisions.astype(bool)
    columns = [array.sum(axis=0).tolist() for array in (true, decided, true & decided)]
    return DecisionCounts(len(labels), *map(tuple, columns))


def write_counts(model_run: Path, counts: DecisionCounts) -> None:
    """Writes `decision_counts.json` into the folder of a training run."""
    write_record(model_run / _FILE, _VERSION, dataclasses.asdict(counts))


def read_counts(model_run: Path) -> DecisionCounts | None:
    """Reads what `write_counts` wrote; None for an older training run.

    Raises:
        DeploymentError: the file holds something else.
    """
    path = model_run / _FILE
    if not path.is_file():
        return None
    return read_record(
        path,
        _VERSION,
        "the decisions that thresholds were tuned on",
        lambda fields: DecisionCounts(
            int(fields["covers"]),
            *(tuple(map(int, fields[key])) for key in ("true", "decided", "rightly")),
        ),
    )
