"""The node as TFX runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tfx.types import channel_utils, standard_artifacts

from components.contracts import nodes
from components.contracts.artifacts import Quarantine, Report
from components.contracts.signatures import ModelDescription, write_model_description
from components.report_gen.component import (
    INPUT_TYPES,
    ReportGen,
    ReportGenExecutor,
    ReportGenSpec,
)
from components.report_gen.sources import Sources

OPTIONS = {
    "config": json.dumps({"name": "covers"}),
    "data": "labels.csv",
    "data_fingerprint": "f" * 64,
    "code_fingerprint": "",
}


def artifact(artifact_type: Any, path: Path) -> list[Any]:
    result = artifact_type()
    result.uri = str(path)
    return [result]


def test_every_input_is_optional(tmp_path: Path) -> None:
    assert all(parameter.optional for parameter in ReportGenSpec.INPUTS.values())
    schema = channel_utils.as_channel(artifact(standard_artifacts.Schema, tmp_path))
    node = ReportGen(inputs={"schema": schema}, push_destination="serving", **OPTIONS)
    assert node.outputs[nodes.REPORT].type is Report


def test_it_reports_what_there_is(tmp_path: Path, sources: Sources) -> None:
    assert sources.quarantine is not None
    inputs: dict[str, list[Any]] = {key: [] for key in INPUT_TYPES}
    inputs["quarantine"] = artifact(Quarantine, sources.quarantine)
    outputs = {nodes.REPORT: artifact(Report, tmp_path / "report")}
    properties = {**OPTIONS, "push_destination": str(tmp_path / "serving")}
    ReportGenExecutor().Do(inputs, outputs, properties)
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (tmp_path / "report" / Report.PAGE).is_file()
    assert report["verdict"]["outcome"] == "not_blessed"
    assert report["data"]["summary"]["rows_given"] == 432
    assert report["provenance"]["artifacts"]["quarantine"]["uri"] == str(sources.quarantine)


@pytest.mark.parametrize("genres", [("pop", "rock"), ("jazz", "rock")])
def test_a_pushed_model_for_other_genres_is_named(
    tmp_path: Path, sources: Sources, genres: tuple[str, ...]
) -> None:
    pushed = tmp_path / "serving" / "17"
    model = tmp_path / "model"
    write_model_description(pushed, ModelDescription(genres, (0.5, 0.5), 64, "one", {}))
    (pushed / "saved_model.pb").touch()
    description = ModelDescription(("pop", "rock"), (0.5, 0.5), 64, "another", {})
    write_model_description(model / "Format-Serving", description)
    inputs = {"model": artifact(standard_artifacts.Model, model)}
    outputs = {nodes.REPORT: artifact(Report, tmp_path / "report")}
    properties = {**OPTIONS, "push_destination": str(tmp_path / "serving")}
    ReportGenExecutor().Do(inputs, outputs, properties)
    passed_over = json.loads((tmp_path / "report" / "report.json").read_text())["verdict"][
        "passed_over"
    ]
    expected = "Pushed version 17 was not compared with: it is for other genres (jazz, rock)."
    assert passed_over == ([] if genres == ("pop", "rock") else [expected])
