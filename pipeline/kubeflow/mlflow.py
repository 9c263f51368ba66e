"""Lets ReportGen's task log the run in MLflow.

The options are an environment variable of its container, which caches do not look at. The place may
be one as well, from a Secret if it holds a password.
"""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts import nodes
from components.contracts.mlflow_runs.config import TRACKING_VARIABLE
from components.support.errors import ConfigError
from components.support.file_systems import is_url
from pipeline.config import PipelineConfig
from pipeline.kubeflow.config import TaskConfig
from pipeline.kubeflow.container.logging_to_mlflow import SETTINGS_VARIABLE
from pipeline.kubeflow.graph import Spec, component_of


def check_mlflow(config: PipelineConfig) -> None:
    """Raises if runs are to be logged where nothing outlives a pod.

    Raises:
        ConfigError: says how to name a place that does.
    """
    if config.mlflow is None:
        return
    task = config.kubeflow.task(nodes.REPORT_GEN)
    place = config.mlflow.tracking_uri
    if place is None:
        if not _sets(task, TRACKING_VARIABLE):
            raise ConfigError(
                "Expected mlflow.tracking_uri, or the environment variable "
                f"{TRACKING_VARIABLE} among the options of {nodes.REPORT_GEN} in kubeflow, such as "
                "kubeflow.all_tasks.env. Received: neither. The disk of a pod is gone when it ends."
            )
        return
    is_kept = any(Path(place).is_relative_to(mount.path) for mount in task.volumes)
    is_server = is_url(str(place)) and not str(place).startswith("file:")
    if not is_server and not is_kept:
        raise ConfigError(
            "Expected mlflow.tracking_uri to be the URL of a server, or a folder below a volume of "
            f"{nodes.REPORT_GEN}. Received: {place}. The disk of a pod is gone when it ends."
        )


def add_mlflow(spec: Spec, config: PipelineConfig) -> None:
    """Changes the specification, if runs are to be logged."""
    if config.mlflow is None:
        return
    label = component_of(spec, nodes.REPORT_GEN)["executorLabel"]
    container = spec["deploymentSpec"]["executors"][label]["container"]
    settings = {"pipeline": config.name, "mlflow": config.mlflow.model_dump(mode="json")}
    value = json.dumps(settings, sort_keys=True)
    container.setdefault("env", []).append({"name": SETTINGS_VARIABLE, "value": value})


def _sets(task: TaskConfig, variable: str) -> bool:
    sources = (*task.secrets_as_env, *task.config_maps_as_env)
    return variable in task.env or any(variable in source.keys for source in sources)
