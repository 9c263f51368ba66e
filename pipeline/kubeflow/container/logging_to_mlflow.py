"""Logs in MLflow what ReportGen reported; see `pipeline.kubeflow.mlflow`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contracts import nodes
from components.contracts.files import REPORT_DATA, serving_model
from components.contracts.mlflow_runs.client import try_to_log_run
from components.contracts.mlflow_runs.config import MlflowConfig
from components.support.texts import line_for_people
from pipeline.kubeflow.container.notifying import identity_of_run

if TYPE_CHECKING:
    from pipeline.kubeflow.container.executor_input import TaskInput

SETTINGS_VARIABLE = "COVERS_MLFLOW"


def log_report(task: TaskInput, outputs: Mapping[str, Any]) -> None:
    """Logs the run; nothing if the task is another, or runs are not to be logged."""
    text = os.environ.get(SETTINGS_VARIABLE)
    if not text or not outputs.get(nodes.REPORT):
        return
    settings = json.loads(text)
    models = task.inputs.get(nodes.MODEL)
    line = try_to_log_run(
        MlflowConfig.from_fields(settings["mlflow"]),
        Path(outputs[nodes.REPORT][0].uri) / REPORT_DATA,
        lambda: serving_model(models[0].uri) if models else None,
        run_id=identity_of_run(task, settings["pipeline"]),
    )
    print(line_for_people(task.names.restore(line)), file=sys.stderr, flush=True)
