"""Runs in a real MLflow server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from components.contracts import nodes
from components.contracts.files import serving_model
from components.contracts.mlflow_runs.client import log_run
from components.contracts.mlflow_runs.config import MlflowConfig
from components.contracts.mlflow_runs.record import IDENTITY_TAG, identity
from components.support.errors import ConfigError
from pipeline.cli import main
from pipeline.kubeflow.container.logging_to_mlflow import SETTINGS_VARIABLE, log_report
from pipeline.kubeflow.container.staging import Names
from tests.pipeline.commands.compare.conftest import COVERS, GENRES, MakeReport
from tests.pipeline.tiny_models import export_tiny_model

pytestmark = pytest.mark.slow


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import mlflow

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri(server)
    yield mlflow.MlflowClient(server)
    mlflow.set_tracking_uri("")


def _runs(client: Any, experiment: str) -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def test_a_run_is_logged_whole_and_once(
    client: Any, server: str, make_report: MakeReport, tmp_path: Path
) -> None:
    report = make_report(
        tmp_path, config={"name": "tiny", "trainer": {"layers": [{"A": {"b": 7}}]}}
    )
    config = MlflowConfig(tracking_uri=server)
    logged = log_run(config, report, None, run_id="20260101")
    assert (logged.experiment, logged.store, logged.is_new) == ("tiny", server, True)
    [run] = _runs(client, "tiny")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == run.data.tags["covers.run_id"] == "20260101"
    assert run.data.params["trainer.layers.0.A.b"] == "7"
    content = json.loads(report.read_text())
    overall, per_genre = content["evaluation"]["overall"], content["evaluation"]["per_genre"]
    assert run.data.metrics["macro_roc_auc"] == pytest.approx(overall["macro_roc_auc"])
    assert run.data.metrics["example_count"] == COVERS
    shown = ("country", "_img src_x onerror_window_harmed_1_", "東京")
    for genre, name in zip(GENRES, shown, strict=True):
        assert run.data.metrics[f"roc_auc/{name}"] == pytest.approx(per_genre[genre]["roc_auc"])
    curve = client.get_metric_history(run.info.run_id, "eval/loss")
    assert [(point.step, round(point.value, 3)) for point in curve] == [
        (1, 1.1), (2, 0.55), (3, 0.367)
    ]  # fmt: skip
    kept = {file.path for file in client.list_artifacts(run.info.run_id, "report")}
    assert kept == {"report/report.html", "report/report.json"}
    copy = client.download_artifacts(run.info.run_id, "report/report.html", str(tmp_path))
    assert Path(copy).read_bytes() == report.with_name("report.html").read_bytes()

    again = log_run(config, report, None)
    assert (again.run_id, again.is_new) == (logged.run_id, False)
    assert len(_runs(client, "tiny")) == 1


def test_what_an_interrupted_attempt_left_is_replaced(
    client: Any, server: str, make_report: MakeReport, tmp_path: Path
) -> None:
    report = make_report(tmp_path)
    number = client.create_experiment("interrupted")
    left = client.create_run(number, tags={IDENTITY_TAG: identity(json.loads(report.read_text()))})
    config = MlflowConfig(tracking_uri=server, experiment="interrupted")
    logged = log_run(config, report, None)
    assert logged.is_new
    assert [run.info.run_id for run in _runs(client, "interrupted")] == [logged.run_id]
    assert client.get_run(left.info.run_id).info.lifecycle_stage == "deleted"


def test_a_deleted_experiment_is_named(
    client: Any, server: str, make_report: MakeReport, tmp_path: Path
) -> None:
    client.delete_experiment(client.create_experiment("gone"))
    config = MlflowConfig(tracking_uri=server, experiment="gone")
    with pytest.raises(ConfigError, match="gone, which was deleted in MLflow"):
        log_run(config, make_report(tmp_path), None)


def test_the_model_is_logged_with_its_signature_and_answers(
    client: Any, server: str, make_report: MakeReport, tmp_path: Path
) -> None:
    import mlflow
    import pandas as pd
    import tensorflow as tf

    model = export_tiny_model(tmp_path / "exported", GENRES)
    config = MlflowConfig(tracking_uri=server, experiment="models")
    logged = log_run(config, make_report(tmp_path / "run"), model)
    kept = mlflow.pyfunc.load_model(f"runs:/{logged.run_id}/model")
    assert kept.metadata.signature.inputs.input_names() == ["image_bytes"]
    assert kept.metadata.signature.outputs.input_names() == ["probabilities", "decisions"]
    assert kept.metadata.metadata["genres"] == list(GENRES)
    cover = tmp_path / "cover.jpg"
    Image.new("RGB", (40, 40), (200, 30, 90)).save(cover)
    answers = kept.predict(pd.DataFrame({"image_bytes": [cover.read_bytes()] * 2}))
    direct = tf.saved_model.load(str(model)).signatures["serving_default"](
        image_bytes=tf.constant([cover.read_bytes()])
    )
    np.testing.assert_allclose(answers["probabilities"][1], direct["probabilities"][0], rtol=1e-5)
    assert answers["decisions"][0] == direct["decisions"][0].numpy().astype(bool).tolist()
    refused = MlflowConfig(tracking_uri=server, experiment="none", models="none")
    logged = log_run(refused, make_report(tmp_path / "without"), model)
    assert {file.path for file in client.list_artifacts(logged.run_id)} == {"report"}


def test_past_runs_are_logged_by_the_command(
    client: Any, server: str, make_report: MakeReport, tmp_path: Path
) -> None:
    reports = [make_report(tmp_path / name, epochs=epochs) for name, epochs in (("a", 2), ("b", 3))]
    command = ["log-to-mlflow", "--tracking-uri", server, "--experiment", "past", "--models"]
    command += ["none", "--json", *map(str, reports)]
    first = CliRunner().invoke(main, command)
    assert first.exit_code == 0, first.output
    done = [json.loads(line) for line in first.output.splitlines()]
    assert [each["is_new"] for each in done] == [True, True]
    assert {run.info.run_id for run in _runs(client, "past")} == {each["run_id"] for each in done}
    second = [json.loads(line) for line in CliRunner().invoke(main, command).output.splitlines()]
    assert [each["run_id"] for each in second] == [each["run_id"] for each in done]
    assert not any(each["is_new"] for each in second)


def test_the_task_that_reports_logs_on_kubeflow(
    client: Any,
    server: str,
    make_report: MakeReport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = make_report(tmp_path)
    export_tiny_model(serving_model(tmp_path / "trained"), GENRES)
    names = Names()
    names.add(str(report.parent), "s3://bucket/root/tiny/run-7/ReportGen/9/report")
    outputs = {nodes.REPORT: [SimpleNamespace(uri=str(report.parent))]}
    inputs = {nodes.MODEL: [SimpleNamespace(uri=str(tmp_path / "trained"))]}
    task: Any = SimpleNamespace(inputs=inputs, outputs=outputs, names=names)
    log_report(task, outputs)
    assert _runs(client, "cluster") == []
    settings = {"pipeline": "tiny", "mlflow": {"experiment": "cluster"}}
    monkeypatch.setenv(SETTINGS_VARIABLE, json.dumps(settings))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    log_report(task, {})
    log_report(task, outputs)
    log_report(task, outputs)
    [run] = _runs(client, "cluster")
    assert run.data.tags["covers.run_id"] == "run-7"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"report", "model"}
    seen = capsys.readouterr().err
    assert f"Logged to MLflow at {server}: experiment cluster" in seen
    assert "Was logged before" in seen
