"""A compiled package on disk, and the values for the parameters of a run of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.support.credentials import refuse_credentials
from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from components.trainer.parameter import TrainingParameter
from pipeline.bounded_yaml import read_documents
from pipeline.kubeflow.parameters import TRAINING
from pipeline.kubeflow.workers import check_same_workers
from pipeline.overrides import set_option

_TRAINER_KEY = "trainer."


@dataclasses.dataclass(frozen=True)
class CompiledPackage:
    """What `covers compile` wrote.

    Attributes:
        path: the file.
        name: the pipeline's name.
        parameters: parameter -> its JSON specification.
        pipeline_root: the default, or None.
        pod_templates: task -> Argo's template of its pod, which is a part of the pod's name.
    """

    path: Path
    name: str
    parameters: Mapping[str, Mapping[str, Any]]
    pipeline_root: str | None
    pod_templates: Mapping[str, str]

    @classmethod
    def from_file(cls, path: Path) -> CompiledPackage:
        """Reads a package.

        Raises:
            ConfigError: the file is missing, or is not a package for Kubeflow Pipelines.
        """
        try:
            spec, *others = read_documents(path) or [None]
            root = spec["root"]
            return cls(
                path=path,
                name=spec["pipelineInfo"]["name"],
                parameters=root.get("inputDefinitions", {}).get("parameters", {}),
                pipeline_root=spec.get("defaultPipelineRoot"),
                pod_templates={
                    name: _pod_template(task, _pod_metadata(spec, others, name))
                    for name, task in root["dag"]["tasks"].items()
                },
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"Expected {path} to be a package for Kubeflow Pipelines, written by `covers "
                f"compile -o pipeline.yaml`. Received: {type(error).__name__}: {error}."
            ) from error


def parameter_values(
    package: CompiledPackage, assignments: Sequence[str], overrides: Sequence[str] = ()
) -> dict[str, str]:
    """Returns the values that a run is given.

    Args:
        package: what is run.
        assignments: `name=value`; values are used verbatim.
        overrides: `trainer.key=value`, changes of the package's default training options.

    Raises:
        ConfigError: a parameter is unknown, has no value, or a training option is wrong.
    """
    values = dict(_assignment(package, text) for text in assignments)
    if overrides:
        training = values.get(TRAINING) or package.parameters[TRAINING].get("defaultValue", "")
        values[TRAINING] = _override_training(training, overrides)
    elif TRAINING in values:
        TrainingParameter.from_text(values[TRAINING])
    missing = [
        name
        for name, parameter in package.parameters.items()
        if name not in values and "defaultValue" not in parameter
    ]
    if missing:
        raise ConfigError(
            f"Expected a value for {', '.join(missing)}, for which {package.path} has no default. "
            f"Received: none. Add {' '.join(f'--param {name}=...' for name in missing)}."
        )
    return values


def _assignment(package: CompiledPackage, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    refuse_credentials(value)
    if not equals or name not in package.parameters:
        raise ConfigError(
            f"Expected --param NAME=VALUE with a parameter of {package.path}: "
            f"{', '.join(sorted(package.parameters))}. Received: {text!r}."
        )
    return name, value


def _override_training(training: str, overrides: Sequence[str]) -> str:
    compiled = TrainingParameter.from_text(training)
    options = compiled.model_dump(mode="json")
    for override in overrides:
        for part in override.split("=", 1):
            refuse_credentials(part)
        if not override.startswith(_TRAINER_KEY):
            raise ConfigError(
                f"Expected --set {_TRAINER_KEY}KEY=VALUE, as only the training options of a "
                f"compiled pipeline can be changed. Received: {override!r}. Compile it again to "
                "change the rest."
            )
        set_option(options["config"], override.removeprefix(_TRAINER_KEY))
    check_same_workers(compiled.config, TrainerConfig.from_fields(options["config"]))
    return json.dumps(options)


def _pod_metadata(spec: Any, others: Sequence[Any], task: str) -> Mapping[str, Any] | None:
    component = spec["components"][spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    for document in others:
        platform = document["platforms"]["kubernetes"]
        executors = platform.get("deploymentSpec", {}).get("executors", {})
        metadata: Mapping[str, Any] | None = executors.get(component["executorLabel"], {}).get(
            "podMetadata"
        )
        if metadata is not None:
            return metadata
    return None


def _pod_template(task: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> str:
    """Names it as kubeflow/pipelines does (7b70c7b95f, argocompiler/container.go)."""
    name = "system-container-impl"
    if "retryPolicy" in task:
        name = f"retry-{name}"
    if metadata is not None:
        counts = [str(len(metadata.get(kind) or {})) for kind in ("annotations", "labels")]
        name = f"metadata-{'-'.join(counts)}-{name}"
    return name
