"""What is wrong with a training run, in words and numbers: findings and the file that holds them.

`diagnosis.json` lies in the trainer's model_run artifact, beside the history: a JSON list of
findings, empty for a healthy training run. `augmentation.jpg` beside it shows what the augmentation
does to covers. Writers and readers go through this module; it imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from components.support.errors import DeploymentError

DIAGNOSIS_FILE = "diagnosis.json"
AUGMENTATION_PICTURE = "augmentation.jpg"

OF_KEPT_FEATURES = ("too_little_data", "unstable_seed")
"""Codes of what only the training run finds, since it has the features of frozen backbones."""

Severity = Literal["warning", "info"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing worth knowing about a training run or a model.

    Attributes:
        code: a stable name, such as `all_zero_predictions`.
        severity: `warning` for what keeps a model from learning or being useful, `info` for
            what explains it.
        sentence: what was found, with its number.
        remedy: what to do about it; names options of the configuration.
        numbers: what the sentence rests on; values that are not finite are left out.
        epoch: the epoch, from 1, after which it was found; None for a finished model.
    """

    code: str
    severity: Severity
    sentence: str
    remedy: str
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    epoch: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the finding ready for JSON."""
        # NumPy's own scalars are no JSON.
        numbers = {
            name: value if isinstance(value, int) else float(value)
            for name, value in self.numbers.items()
            if math.isfinite(value)
        }
        return {**dataclasses.asdict(self), "numbers": numbers}


def write_diagnosis(folder: Path | str, findings: Iterable[Finding]) -> None:
    """Writes `diagnosis.json` into an existing folder."""
    text = json.dumps([finding.to_dict() for finding in findings], indent=2)
    (Path(folder) / DIAGNOSIS_FILE).write_text(text + "\n", encoding="utf-8")


def read_diagnosis(folder: Path | str) -> list[Finding]:
    """Reads the findings in a folder; a folder without the file holds none.

    Raises:
        DeploymentError: `write_diagnosis` did not write the file.
    """
    path = Path(folder) / DIAGNOSIS_FILE
    try:
        return [Finding(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise DeploymentError(
            f"Expected {path} to hold the findings of a training run. Received: "
            f"{type(error).__name__}: {error}. Train again, or remove the file."
        ) from error
