"""What passes between the process of a training run and its workers: a task, and what came of it.

Everything is in one folder: `task.json`, then what the chief writes when it has trained, or
`error-<worker>.json` if a worker was refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.contracts.diagnosis import Finding, read_diagnosis, write_diagnosis
from components.support import errors
from components.support.errors import CoversError

_TASK_FILE = "task.json"
_RESULT_FILE = "result.json"
_WEIGHTS_FILE = "weights.npz"
_FEATURES_FILE = "features.npz"


@dataclasses.dataclass(frozen=True)
class WorkerTask:
    """What the workers of a training run do.

    Attributes:
        config: the fields of a TrainerConfig.
        train_files: patterns of the files of the train split.
        eval_files: those of the eval split.
        schema_path: the label schema.
        run_dir: where the chief writes history, pictures and TensorBoard logs.
        recipe: of the model; names the checkpoint.
        code_fingerprint: hash of the training code.
        checkpoint_root: where checkpoints are kept; empty if they cannot be.
        feature_root: where features are kept, likewise.
    """

    config: dict[str, Any]
    train_files: list[str]
    eval_files: list[str]
    schema_path: str
    run_dir: str
    recipe: str
    code_fingerprint: str
    checkpoint_root: str
    feature_root: str

    def write(self, folder: Path) -> None:
        """Writes the task into a folder."""
        text = json.dumps(dataclasses.asdict(self))
        (folder / _TASK_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> WorkerTask:
        """Reads the task in a folder."""
        return cls(**json.loads((folder / _TASK_FILE).read_text(encoding="utf-8")))


@dataclasses.dataclass(frozen=True)
class WorkResult:
    """What the chief hands over.

    Attributes:
        weights: of the whole network after the best epoch, in Keras's order.
        findings: of the training's diagnosis.
        epochs: the history.
        best_epoch: the epoch, from 1, that the weights are from.
        features: (split, set of features) -> features of a frozen backbone; see `TrainingData`.
    """

    weights: list[np.ndarray]
    findings: list[Finding]
    epochs: list[dict[str, float]]
    best_epoch: int
    features: Mapping[tuple[str, str], np.ndarray]

    def write(self, folder: Path) -> None:
        """Writes the result into a folder."""
        write_diagnosis(folder, self.findings)
        np.savez(folder / _WEIGHTS_FILE, *self.weights)
        np.savez(folder / _FEATURES_FILE, *self.features.values())
        fields = {
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "features": list(self.features),
        }
        (folder / _RESULT_FILE).write_text(json.dumps(fields), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> WorkResult:
        """Reads the result in a folder."""
        fields = json.loads((folder / _RESULT_FILE).read_text(encoding="utf-8"))
        names = [(split, key) for split, key in fields["features"]]
        features = dict(zip(names, _arrays(folder / _FEATURES_FILE), strict=True))
        weights = _arrays(folder / _WEIGHTS_FILE)
        findings = read_diagnosis(folder)
        return cls(weights, findings, fields["epochs"], fields["best_epoch"], features)


def write_error(folder: Path, worker: int, error: CoversError) -> None:
    """Tells why a worker was refused."""
    fields = {"error": type(error).__name__, "message": str(error)}
    _error_file(folder, worker).write_text(json.dumps(fields), encoding="utf-8")


def read_error(folder: Path, worker: int) -> CoversError | None:
    """Returns why a worker was refused, if it was."""
    try:
        fields = json.loads(_error_file(folder, worker).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # killed while it wrote
        return None
    error: CoversError = getattr(errors, fields["error"], CoversError)(fields["message"])
    return error


def _error_file(folder: Path, worker: int) -> Path:
    return folder / f"error-{worker}.json"


def _arrays(file: Path) -> list[np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return [arrays[f"arr_{place}"] for place in range(len(arrays.files))]
