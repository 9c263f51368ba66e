"""Destinations with pushed models, in a local folder and in an object store on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.contracts.model_card import MODEL_CARD_FILE
from components.contracts.pushed_models import push_model
from components.contracts.saved_models import file_digests
from components.contracts.signatures import ModelDescription, write_model_description
from pipeline.cli import main

Push = Callable[..., int]
Covers = Callable[..., tuple[int, str]]

_GENRES = ("electronic", "hiphop", "pop")


@pytest.fixture(params=["local", "s3"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "serving")
    request.getfixturevalue("s3")
    return f"s3://bucket/{tmp_path.name}/serving"


@pytest.fixture
def push(tmp_path: Path, destination: str) -> Push:
    """Returns a function that pushes a model of a recipe and returns its version."""

    def pushed(
        recipe: str,
        *,
        roc_auc: float = 0.7,
        genres: tuple[str, ...] = _GENRES,
        to: str = destination,
    ) -> int:
        model = tmp_path / "models" / recipe
        write_model(model, recipe, roc_auc, genres)
        return push_model(model, to).version

    return pushed


def write_model(
    folder: Path, recipe: str, roc_auc: float = 0.7, genres: tuple[str, ...] = _GENRES
) -> None:
    """Writes files that hold the recipe's name, a description and a model card."""
    for name in ("saved_model.pb", "variables/variables.index"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name} of {recipe}")
    thresholds = (0.5,) * len(genres)
    versions = {"tensorflow": "2.16.2", "keras": "3.12.0"}
    described = ModelDescription(
        genres, thresholds, 48, recipe, versions, files=file_digests(folder)
    )
    write_model_description(folder, described)
    metrics: list[dict[str, Any]] = [
        {"type": "macro_roc_auc", "value": roc_auc},
        {"type": "hamming_loss", "value": 0.19},
    ]
    metrics += [{"type": "roc_auc", "value": roc_auc, "slice": genre} for genre in genres]
    card = {"quantitative_analysis": {"performance_metrics": metrics}}
    (folder / MODEL_CARD_FILE).write_text(json.dumps(card))


@pytest.fixture
def covers() -> Covers:
    """Returns a function that runs the command: the exit code, and what a person sees."""

    def run(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output

    return run
