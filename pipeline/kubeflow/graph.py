"""The graph of a PipelineSpec in its JSON form: tasks, their components and executors."""

from __future__ import annotations

import copy
from typing import Any

Spec = dict[str, Any]

PYTHON_MODULE = ("python", "-m")
TASKS = "pipeline.kubeflow.container.tasks"

COMPONENT = "comp-"
EXECUTOR = "exec-"
HTML = {"artifactType": {"schemaTitle": "system.HTML", "schemaVersion": "0.0.1"}}
METRICS_TYPE = {"artifactType": {"schemaTitle": "system.Metrics", "schemaVersion": "0.0.1"}}
CLASSIFICATION_TYPE = {
    "artifactType": {"schemaTitle": "system.ClassificationMetrics", "schemaVersion": "0.0.1"}
}
STRING = {"parameterType": "STRING"}


def component_of(spec: Spec, task: str) -> Spec:
    """Returns the component of a task of the root."""
    name = spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]
    component: Spec = spec["components"][name]
    return component


def add_task(
    spec: Spec,
    name: str,
    image: str,
    *,
    args: list[str],
    parameters: Spec,
    artifacts: Spec | None = None,
    artifact_types: Spec | None = None,
    outputs: Spec | None = None,
) -> None:
    """Adds a task that runs one of the project's small ones; it is never cached.

    Args:
        spec: the specification; changed.
        name: of the task.
        image: its image.
        args: what its command is given.
        parameters: input parameter -> where it comes from; all are texts.
        artifacts: input artifact -> where it comes from.
        artifact_types: input artifact -> its declaration.
        outputs: output parameter -> its declaration.
    """
    label = EXECUTOR + name
    component: Spec = {
        "executorLabel": label,
        "inputDefinitions": {"parameters": {key: dict(STRING) for key in parameters}},
    }
    if artifact_types:
        component["inputDefinitions"]["artifacts"] = copy.deepcopy(artifact_types)
    if outputs:
        component["outputDefinitions"] = {"parameters": copy.deepcopy(outputs)}
    spec["components"][COMPONENT + name] = component
    spec["deploymentSpec"]["executors"][label] = {
        "container": {"image": image, "command": [*PYTHON_MODULE, TASKS], "args": args}
    }
    spec["root"]["dag"]["tasks"][name] = {
        "taskInfo": {"name": name},
        "componentRef": {"name": COMPONENT + name},
        "cachingOptions": {},
        "inputs": {"parameters": parameters, **({"artifacts": artifacts} if artifacts else {})},
    }


def depend(task: Spec, upstream: str) -> None:
    """Lets a task wait for another."""
    dependencies = task.setdefault("dependentTasks", [])
    if upstream not in dependencies:
        dependencies.append(upstream)
        dependencies.sort()


def parameter_of(task: str, key: str) -> Spec:
    """Returns an output parameter of a task as the source of an input."""
    return {"taskOutputParameter": {"producerTask": task, "outputParameterKey": key}}


def artifact_of(task: str, key: str) -> Spec:
    """Returns an output artifact of a task as the source of an input."""
    return {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": key}}
