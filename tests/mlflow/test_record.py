"""What MLflow is told of a run, and what is said where it cannot be told; without a server."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.contracts.files import serving_model
from components.contracts.mlflow_runs import client
from components.contracts.mlflow_runs.client import log_run, try_to_log_run
from components.contracts.mlflow_runs.config import MlflowConfig
from components.contracts.mlflow_runs.record import identity, metrics, parameters
from components.support.errors import ConfigError, DeploymentError
from pipeline.cli import main
from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.container.logging_to_mlflow import SETTINGS_VARIABLE
from tests.pipeline.commands.compare.conftest import MakeReport
from tests.pipeline.recorded_runs import RecordedRuns

SECRET = "hunter2"
IMAGE = "kubeflow.image=registry.example.com/covers:1"


@pytest.fixture
def report(make_report: MakeReport, tmp_path: Path) -> Path:
    return make_report(tmp_path / "run")


@pytest.fixture
def content(report: Path) -> dict[str, Any]:
    return dict(json.loads(report.read_text()))


def test_names_are_those_that_mlflow_takes_and_distinct(content: dict[str, Any]) -> None:
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    genres = ["a/b", "a_b", "../x", ".", "x" * 400, "drum & bass", " "]
    values = {"roc_auc": 0.5, "recall": None}
    content["evaluation"] |= {"genres": genres, "per_genre": dict.fromkeys(genres, values)}
    content["provenance"]["config"] = {"a": {"b[0]": 1, "b_0_": "", "../c": "x" * 9000}}
    found = metrics(content)
    assert len([name for name in found if name.startswith("roc_auc/")]) == len(genres)
    assert not [name for name in found if name.startswith("recall")]
    for name in found:
        _validate_metric_name(name)
    named = parameters(content)
    assert named["a.b_0_"] == "1" and named["a.b_0__"] == '""'
    for name, text in named.items():
        _validate_param_name(name)
        assert text and len(text) <= 500


def test_a_run_is_the_same_until_it_is_trained_or_judged_anew(content: dict[str, Any]) -> None:
    before = identity(content)
    same = copy.deepcopy(content)
    same["created"] = "2027-01-01T00:00:00+00:00"
    same["provenance"]["config"] |= {"mlflow": {"experiment": "x"}, "kubeflow": {"image": "y"}}
    assert identity(same) == before
    for part, key in (("provenance", "recipe"), ("evaluation", "overall"), ("training", "history")):
        other = copy.deepcopy(content)
        other[part][key] = {"changed": 1.0}
        assert identity(other) != before


def test_without_a_server_runs_are_logged_in_a_folder(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "root"
    command = ["log-to-mlflow", "--models", "none", "--pipeline-root", str(root), str(report)]
    for said in ("Logged to", "Was logged before to"):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
        assert f"{said} MLflow at {root}/mlruns: experiment tiny, run " in result.output
        assert len(result.output.splitlines()) == 1
    assert not {"MLFLOW_ALLOW_FILE_STORE", "GIT_PYTHON_REFRESH"} & os.environ.keys()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = MlflowClient((root / "mlruns").as_uri())
    [run] = store.search_runs([store.get_experiment_by_name("tiny").experiment_id])
    assert run.data.metrics["macro_roc_auc"] > 0.5


def test_a_report_that_cannot_be_read_keeps_no_other_run_from_being_logged(
    make_report: MakeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    recorded = RecordedRuns(tmp_path / "root")
    reports = {}
    for seed in (1, 2, 3, 4, 5):
        run_id = recorded.begin()
        if seed == 5:
            serving_model(recorded.execute(run_id, "Trainer")).mkdir()
        folder = recorded.root / "tiny" / "ReportGen" / run_id
        reports[run_id] = make_report(folder, epochs=seed)
        evaluation = json.loads(reports[run_id].read_text())["evaluation"]
        page = str(reports[run_id].with_suffix(".html"))
        recorded.end(run_id, report=page, evaluation=evaluation)
    first, second, third, fourth, without_description = reports
    reports[first].write_text("{")
    reports[third].unlink()
    command = ["log-to-mlflow", "--pipeline-root", str(recorded.root)]
    result = CliRunner().invoke(main, command)
    assert isinstance(result.exception, SystemExit) and result.exit_code == 1
    assert f"{second}: Logged to" in result.output and f"{fourth}: Logged to" in result.output
    assert f"{without_description}: " not in result.output
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = MlflowClient((recorded.root / "mlruns").as_uri())
    runs = store.search_runs([store.get_experiment_by_name("tiny").experiment_id])
    assert len(runs) == 2
    said = " ".join(result.output.split())
    assert "Expected 5 runs to be as they were written. Received: 3 that are damaged" in said
    assert str(reports[first]) in said.partition("The first: ")[2]


def test_a_run_whose_model_is_gone_is_logged_without_and_says_so(
    report: Path, tmp_path: Path
) -> None:
    for models, ending in (
        ("all", ", without its model, which is not here any more."),
        ("none", "."),
    ):
        config = MlflowConfig(tracking_uri=tmp_path / models, models=models)
        logged = log_run(config, report, None)
        assert str(logged).endswith(f"run {logged.run_id}{ending}")


def test_a_server_that_is_away_is_said_clearly_and_fails_nothing(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = try_to_log_run(MlflowConfig(), report, lambda: None, retry="Log it later.")
    assert said.startswith(
        "Not logged to MLflow: Expected MLflow to take a run at http://127.0.0.1"
    )
    assert said.endswith("Log it later.")
    assert SECRET not in said and "\n" not in said
    with pytest.raises(DeploymentError):
        log_run(MlflowConfig(), report, None)

    def no_model() -> Path:
        raise OSError("no space left")

    assert "no space left" in try_to_log_run(MlflowConfig(), report, no_model)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null"])
def test_a_damaged_report_is_named(tmp_path: Path, text: str) -> None:
    report = tmp_path / "report.json"
    report.write_text(text)
    with pytest.raises(DeploymentError, match="Expected the report of a run at"):
        log_run(MlflowConfig(tracking_uri=tmp_path), report, None)


def test_a_run_without_an_evaluation_is_not_logged(report: Path, content: dict[str, Any]) -> None:
    report.write_text(json.dumps({**content, "evaluation": None}))
    with pytest.raises(ConfigError, match="Expected a run with an evaluation"):
        log_run(MlflowConfig(), report, None)


def test_a_run_does_not_begin_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(client, "find_spec", lambda name: None if name == "mlflow" else find(name))
    result = CliRunner().invoke(main, ["run", "--set", "mlflow={}", "--data", "nowhere"])
    assert result.exit_code == 2
    assert "with its extra `mlflow`" in result.output


def test_credentials_are_refused_in_the_configuration() -> None:
    with pytest.raises(ConfigError) as raised:
        load_config("sample", [f"mlflow.tracking_uri=http://user:{SECRET}@server"])
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["mlflow={}"], "Expected mlflow.tracking_uri, or the environment variable"),
        (["mlflow.tracking_uri=/srv/mlruns"], "a folder below a volume of ReportGen"),
        (["mlflow.tracking_uri=file:///srv"], "a folder below a volume of ReportGen"),
    ],
)
def test_a_place_that_is_gone_with_the_pod_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compile_pipeline(load_config("sample", [IMAGE, *options]))


def test_only_the_task_that_reports_is_told() -> None:
    config = load_config(
        "sample", [IMAGE, "mlflow={}", "kubeflow.all_tasks.env={MLFLOW_TRACKING_URI: http://m}"]
    )
    executors = compile_pipeline(config).documents[0]["deploymentSpec"]["executors"]
    told = {
        label
        for label, executor in executors.items()
        if any(v["name"] == SETTINGS_VARIABLE for v in executor["container"].get("env", ()))
    }
    assert told == {"exec-ReportGen"}
    with pytest.raises(ConfigError, match="which its tasks are not given"):
        compile_pipeline(config, "vertex")
