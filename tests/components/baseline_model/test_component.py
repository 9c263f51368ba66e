from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.baseline_model.component import BaselineModelExecutor
from components.contracts.saved_models import file_digests
from components.contracts.signatures import (
    ModelDescription,
    read_model_description,
    write_model_description,
)
from components.support.errors import DeploymentError

DESCRIPTION = ModelDescription(("pop", "rock"), (0.5, 0.5), 64, "candidate", {})


def _model(folder: Path, recipe: str) -> None:
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"a graph")
    digests = file_digests(folder)
    write_model_description(folder, dataclasses.replace(DESCRIPTION, recipe=recipe, files=digests))


def test_a_damaged_pushed_model_is_told_before_anything_loads_it(tmp_path: Path) -> None:
    candidate, baseline = standard_artifacts.Model(), standard_artifacts.Model()
    candidate.uri, baseline.uri = str(tmp_path / "candidate"), str(tmp_path / "baseline")
    _model(Path(path_utils.serving_model_dir(candidate.uri)), "candidate")
    _model(tmp_path / "serving" / "1", "earlier")
    inputs, outputs = {"candidate": [candidate]}, {"model": [baseline]}
    properties = {"push_destination": str(tmp_path / "serving")}
    (tmp_path / "serving" / "1" / "saved_model.pb").write_bytes(b"a grapj")
    with pytest.raises(DeploymentError, match=r"saved_model\.pb is not the file that was exported"):
        BaselineModelExecutor().Do(inputs, outputs, properties)
    (tmp_path / "serving" / "1" / "saved_model.pb").write_bytes(b"a graph")
    BaselineModelExecutor().Do(inputs, outputs, properties)
    assert Path(path_utils.serving_model_dir(baseline.uri), "saved_model.pb").is_file()


@pytest.mark.parametrize("expected", ["1", "", "gone", "damaged"])
def test_the_version_that_was_found_is_copied_whatever_was_pushed_since(
    tmp_path: Path, expected: str
) -> None:
    """The candidate is not looked at again: caches know this version, or that there was none."""
    baseline = standard_artifacts.Model()
    baseline.uri = str(tmp_path / "baseline")
    serving = tmp_path / "serving"
    for version in ("1", "2", "damaged"):
        _model(serving / version.replace("damaged", "3"), f"earlier {version}")
    (serving / "3" / "saved_model.pb").unlink()
    location = f"{serving}/{expected.replace('damaged', '3')}" if expected else ""
    outputs = {"model": [baseline]}
    properties = {"push_destination": f"{serving}/", "expected_version": location}
    if expected in ("gone", "damaged"):
        message = "it was deleted during the run" if expected == "gone" else "as it was pushed"
        with pytest.raises(DeploymentError, match=message):
            BaselineModelExecutor().Do({}, outputs, properties)
        return
    BaselineModelExecutor().Do({}, outputs, properties)
    if not expected:
        assert outputs == {"model": []}
        return
    copied = read_model_description(path_utils.serving_model_dir(baseline.uri))
    assert copied.recipe == "earlier 1"
    assert baseline.get_string_custom_property("pushed_version") == "1"
