"""What a model answers in the session loader of TensorFlow Serving and KServe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.contracts.signatures import IMAGE_BYTES, SERVING_SIGNATURE
from components.infra_validator.config import SESSION
from components.infra_validator.interface import read_signatures
from components.infra_validator.processes import examine, make_request


def answers_in_session(model: Path, files: Sequence[Path], folder: Path) -> dict[str, Any]:
    """Asks a SavedModel in a process of its own; returns output -> values, a row a file.

    Args:
        model: the SavedModel.
        files: images.
        folder: for the process's files; it must not exist.
    """
    covers = {
        "name": "covers",
        "signature": SERVING_SIGNATURE,
        "input": IMAGE_BYTES,
        "files": [str(file) for file in files],
    }
    request = make_request(
        SESSION, model, read_signatures(model), [covers], timed="covers", again=()
    )
    found = examine(request, folder, None)
    assert found.answer is not None, found.end
    answers: dict[str, Any] = found.answer["answers"]["covers"]["outputs"]
    return answers
