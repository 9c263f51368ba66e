"""Lets the tasks of a compiled pipeline tell a web hook how the run ends.

The options are an environment variable of every container, which caches do not look at. The URL and
the token are not among them: they come from Secrets, see `TaskConfig.secrets_as_env`.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from components.contracts.notifications import NotificationsConfig
from components.support.errors import ConfigError
from pipeline.kubeflow.container.notifying import SETTINGS_VARIABLE
from pipeline.kubeflow.container.refusals import REFUSAL_PAGE
from pipeline.kubeflow.graph import STRING, TASKS, Spec, component_of

RUN_ID = "run_id"


def check_no_url(config: NotificationsConfig) -> None:
    """Raises if the configuration holds a URL, which many can read in a package.

    Raises:
        ConfigError: says how to give it instead.
    """
    if config.url:
        raise ConfigError(
            "Expected notifications.url_variable, not notifications.url, in a pipeline for a "
            "cluster: the path of a web hook is often its password, and whoever sees a package or "
            "a run can read it. Received: notifications.url. Put the URL into a Secret, give it to "
            "the tasks with kubeflow.all_tasks.secrets_as_env, and name the environment variable."
        )


def add_notifications(
    spec: Spec, pipeline: str, config: NotificationsConfig, stops: Collection[str]
) -> None:
    """Changes the specification, if anybody is to be told.

    Args:
        spec: the PipelineSpec; changed.
        pipeline: its name.
        config: whom to tell, and of what.
        stops: the tasks that end a run before there is a report.
    """
    if not config.is_on:
        return
    settings = {"pipeline": pipeline, "notifications": config.model_dump(mode="json")}
    variable = {"name": SETTINGS_VARIABLE, "value": json.dumps(settings, sort_keys=True)}
    for name, task in spec["root"]["dag"]["tasks"].items():
        component = component_of(spec, name)
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]].get("container")
        if container is None:
            continue
        container.setdefault("env", []).append(dict(variable))
        if TASKS not in container["command"]:
            continue
        # These are never cached, so that a run's own identity may be among their inputs.
        component["inputDefinitions"]["parameters"][RUN_ID] = dict(STRING)
        task["inputs"]["parameters"][RUN_ID] = {
            "runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}
        }
        page = f"{{{{$.inputs.artifacts['{REFUSAL_PAGE}'].uri}}}}" if name in stops else ""
        run_id = f"{{{{$.inputs.parameters['{RUN_ID}']}}}}"
        container["args"] = ["notify", run_id, page, *container["args"]]
