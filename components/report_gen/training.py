"""The training of a run: its history and what was found wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.contracts.diagnosis import AUGMENTATION_PICTURE, read_diagnosis
from components.contracts.signatures import HISTORY_FILE
from components.report_gen.pictures import data_uri

_PICTURE_SIDE = 900


def describe_training(model_run: Path | None) -> dict[str, Any] | None:
    """Returns `history`, `findings` and `augmentation_picture`; None if nothing was trained.

    The history is what the Trainer wrote, or None; the picture a `data:` URI, or None.
    """
    if model_run is None:
        return None
    history_file = model_run / HISTORY_FILE
    picture = model_run / AUGMENTATION_PICTURE
    return {
        "history": (
            json.loads(history_file.read_text(encoding="utf-8")) if history_file.is_file() else None
        ),
        "findings": [finding.to_dict() for finding in read_diagnosis(model_run)],
        "augmentation_picture": (
            data_uri(picture.read_bytes(), _PICTURE_SIDE) if picture.is_file() else None
        ),
    }
