"""A model that the other dependency line trained and pushed, on this line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from components.contracts.signatures import read_model_description
from pipeline.cli import main
from pipeline.commands.models.places import Where

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a copy of the pipeline root of the other line."""
    given = request.config.getoption("--other-line")
    if given is None:
        pytest.skip("needs --other-line=DIR, see .ci/run")
    return Path(shutil.copytree(given, tmp_path_factory.mktemp("other") / "pipeline_root"))


def covers(*arguments: object) -> list[Any]:
    """Returns the JSON documents that a command prints, one a line."""
    outcome = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert outcome.exit_code in (0, 4), outcome.output
    lines = outcome.stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith(("{", "["))]


@pytest.fixture(scope="module")
def pushed_there(other: Path) -> dict[str, Any]:
    """Returns the other line's result, read from its ML Metadata."""
    newest = covers("runs", "--json", "--pipeline-root", other)[-1][0]
    assert newest["outcome"] == "pushed"
    return newest["result"]


def test_the_model_is_from_the_other_line(other: Path) -> None:
    import keras
    import tensorflow as tf

    versions = read_model_description(Where(None, other, None).model(None)).versions
    assert versions["tensorflow"] != tf.__version__
    assert versions["keras"] != keras.__version__


def test_it_answers_as_it_did_there(other: Path) -> None:
    lines = (other / "predictions.jsonl").read_text().splitlines()
    expected = [json.loads(line) for line in lines]
    names = [Path(prediction["image"]).name for prediction in expected]
    (folder,) = other.glob("samples/*/images")
    images = [folder / name for name in names]
    received = covers("predict", "--json", *images, "--model", Where(None, other, None).model(None))
    assert len(received) == len(expected) > 20
    difference = [
        np.subtract(list(there["probabilities"].values()), list(here["probabilities"].values()))
        for there, here in zip(expected, received, strict=True)
    ]
    assert np.abs(difference).max() < 1e-4
    for there, here in zip(expected, received, strict=True):
        assert here["probabilities"].keys() == there["probabilities"].keys()
        assert here["genres"] == there["genres"]


def test_it_is_evaluated_as_the_pushed_model_of_the_next_run(
    other: Path, pushed_there: dict[str, Any]
) -> None:
    (sample,) = other.glob("samples/*")
    result = covers(
        *("run", "--json", "--pipeline-root", other, "--data", sample),
        *("--set", "trainer.epochs=3"),
    )[-1]
    there, here = pushed_there["evaluation"], result["evaluation"]["baseline"]
    assert result["evaluation"]["example_count"] == there["example_count"]
    assert here["overall"] == pytest.approx(there["overall"], abs=1e-3)
    assert here["per_genre"].keys() == there["per_genre"].keys()
    for genre, metrics in there["per_genre"].items():
        assert here["per_genre"][genre] == pytest.approx(metrics, abs=1e-3)
