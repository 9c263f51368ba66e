from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from kfp_api import KfpApi, covers

from pipeline.kubeflow.package import CompiledPackage, parameter_values

DATA = ("-p", "data=s3://bucket/covers", "-p", "push_destination=s3://bucket/serving")


def test_submit_runs_the_package_with_what_it_was_given(api: KfpApi, package_file: Path) -> None:
    result = covers(
        "submit", str(package_file), *DATA, "--set", "trainer.epochs=7", "--token", "secret",
        "--namespace", "team-a", "--experiment", "genres", "--name", "first",
        "--pipeline-root", "s3://bucket/root", "--service-account", "runner", "--wait",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert re.search(r"Run run-2: http://127.0.0.1:\d+/#/runs/details/run-2\n", result.output)
    assert "Succeeded." in result.output
    run = api.sent("/runs")
    assert (run["display_name"], run["experiment_id"]) == ("first", "experiment-1")
    assert run["service_account"] == "runner"
    parameters = run["runtime_config"]["parameters"]
    assert parameters["data"] == "s3://bucket/covers"
    assert json.loads(parameters["training"])["config"]["epochs"] == 7
    assert run["runtime_config"]["pipeline_root"] == "s3://bucket/root"
    assert api.sent("/experiments") == {"display_name": "genres", "namespace": "team-a"}
    assert {request.token for request in api.requests} == {"Bearer secret"}


def test_submit_leaves_the_caching_of_each_task_as_compiled(
    api: KfpApi, package_file: Path, tiny_package: dict[str, Any]
) -> None:
    assert covers("submit", str(package_file), *DATA).exit_code == 0
    sent = api.sent("/runs")["pipeline_spec"]
    assert sent["root"]["dag"]["tasks"] == tiny_package["root"]["dag"]["tasks"]


def test_upload_makes_a_pipeline_and_then_a_version_of_it(api: KfpApi, package_file: Path) -> None:
    first = covers("upload", str(package_file))
    assert "Pipeline pipeline-1, version version-2:" in first.output
    again = covers("upload", str(package_file), "--version", "v2")
    assert "Pipeline pipeline-1, version version-3:" in again.output
    assert [version["name"] for version in api.versions] == ["tiny", "v2"]


def test_a_version_without_a_name_gets_one_that_kubernetes_takes(
    api: KfpApi, package_file: Path
) -> None:
    for _ in range(2):
        result = covers("upload", str(package_file))
        assert result.exit_code == 0, result.output
    assert re.fullmatch(r"tiny-\d{8}-\d{6}-\d{6}", api.versions[1]["name"])


@pytest.mark.parametrize(
    ("option", "given", "suggested"),
    [
        ("--version", "2026-01-01 03:00:00", "2026-01-01-03-00-00"),
        ("--version", "v1_Final", "v1-final"),
        ("--version", "-", ""),
        ("--version", "x" * 128, "x" * 127),
        ("--name", "Album Covers", "album-covers"),
        ("--name", "größe", "grosse"),
    ],
)
def test_names_that_kubernetes_refuses_are_refused_before_anything_is_sent(
    api: KfpApi, package_file: Path, option: str, given: str, suggested: str
) -> None:
    result = covers("upload", str(package_file), option, given)
    assert result.exit_code == 2
    assert "Expected the name of a pipeline" in result.output
    assert not suggested or f"Use '{suggested}'." in result.output
    assert api.changes() == []
    if suggested:
        assert covers("upload", str(package_file), option, suggested).exit_code == 0


def test_a_schedule_needs_one_kind_of_time(package_file: Path) -> None:
    result = covers("schedule", str(package_file), *DATA, "--cron", "0 0 3 * * *", "--every", "1")
    assert result.exit_code == 2
    assert "one of --cron and --every" in result.output


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "--token"), (403, "--namespace"), (400, "no such pipeline root")]
)
def test_a_refusal_of_the_api_is_told_without_a_traceback(
    api: KfpApi, package_file: Path, status: int, hint: str
) -> None:
    api.always = (status, "no such pipeline root")
    result = covers("submit", str(package_file), *DATA)
    assert result.exit_code == 1
    assert f"Received: {status}" in result.output
    assert hint in result.output


def test_without_kfp_it_says_how_to_get_it(package_file: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "kfp.client", None)
    result = covers("submit", str(package_file), *DATA)
    assert result.exit_code == 2
    assert "make kfp" in result.output


def test_an_api_that_is_not_there(package_file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("kfp.client", reason="tfx-1.21 has no kfp from Python 3.12 on")
    monkeypatch.setenv("HOME", str(tmp_path))
    result = covers("submit", str(package_file), *DATA, "--host", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "Expected to reach http://127.0.0.1:9." in result.output
    assert "port-forward" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "Expected a value for data, push_destination"),
        ((*DATA, "-p", "dta=x"), "data, push_destination, training. Received: 'dta=x'"),
        ((*DATA, "--set", "trainer.epochs=0"), "trainer.epochs: Expected a value greater than"),
        (
            (*DATA, "--set", "ingest.span=1"),
            "only the training options of a compiled pipeline can be changed",
        ),
        ((*DATA, "-p", "training={}"), "training.config: Expected a value. Received: none."),
        ((*DATA, "-p", "training={", "--set", "trainer.epochs=1"), "Received: Invalid JSON"),
        ((*DATA, "--pipeline-root", "/tmp/here"), "Expected a pipeline root in an object store"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_sent(
    package_file: Path, arguments: tuple[str, ...], expected: str
) -> None:
    result = covers("submit", str(package_file), *arguments)
    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())


def test_a_file_that_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\n")
    result = covers("submit", str(tmp_path / "x.yaml"), *DATA)
    assert result.exit_code == 2
    assert "to be a package for Kubeflow Pipelines" in result.output


def test_training_options_start_from_the_given_parameter(package_file: Path) -> None:
    package = CompiledPackage.from_file(package_file)
    training = json.loads(package.parameters["training"]["defaultValue"])
    training["config"]["seed"] = 5
    values = parameter_values(
        package,
        [*DATA[1::2], f"training={json.dumps(training)}"],
        ["trainer.epochs=3"],
    )
    changed = json.loads(values["training"])["config"]
    assert (changed["seed"], changed["epochs"]) == (5, 3)
