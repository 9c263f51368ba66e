"""The launcher's ExecutorInput, turned into the arguments of a TFX executor's `Do`.

ExecutorInput is the JSON that takes the place of `{{$}}` in a container's arguments
(kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto). The open-source back end fills it in other
ways than TFX's own entrypoint expects; each difference is named where it is bridged.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from components.contracts.nodes import STORED_AS
from components.support.errors import DeploymentError
from pipeline.kubeflow.container.staging import Names, local_path, staged_path

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

Json = Mapping[str, Any]

ABSENT = "covers_absent"
"""Metadata of an output that its executor chose not to write: nothing downstream must see it."""

_OF_THE_BACK_END = {"display_name", "store_session_info", "_kfp_workspace", ABSENT}
_SHOWN = {"system.HTML", "system.Metrics", "system.ClassificationMetrics"}
_LARGEST_ID = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class TaskInput:
    """What one task is asked to do.

    Attributes:
        inputs: key -> artifacts, with local paths as their URIs.
        outputs: key -> artifacts to fill, with local paths as their URIs.
        exec_properties: the executor's parameters.
        raw_outputs: the `outputs` of the ExecutorInput.
        output_file: local path of the ExecutorOutput to write.
        names: what the local paths are called in the object store.
    """

    inputs: dict[str, list[Artifact]]
    outputs: dict[str, list[Artifact]]
    exec_properties: dict[str, Any]
    raw_outputs: Json
    output_file: Path
    names: Names


def read_task_input(executor_input: str, inputs_spec: str) -> TaskInput:
    """Reads an ExecutorInput.

    Args:
        executor_input: its JSON.
        inputs_spec: the component's ComponentInputsSpec as JSON: what the inputs were declared as.

    Raises:
        DeploymentError: one of them is not what Kubeflow Pipelines supplies.
    """
    given, spec = parse_object(executor_input), parse_object(inputs_spec, "inputs spec")
    try:
        names = Names()
        raw_outputs = given.get("outputs", {})
        return TaskInput(
            inputs=_inputs(given.get("inputs", {}).get("artifacts", {}), spec, names),
            outputs=_outputs(raw_outputs.get("artifacts", {}), names),
            exec_properties=_exec_properties(given.get("inputs", {}), spec),
            raw_outputs=raw_outputs,
            output_file=Path(staged_path(raw_outputs["outputFile"])),
            names=names,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DeploymentError(
            "Expected an ExecutorInput of pipeline spec 2.1 for a pipeline compiled by `covers "
            f"compile`. Received: {executor_input[:2000]} ({type(error).__name__}: {error})."
        ) from error


def parse_object(text: str, what: str = "ExecutorInput") -> Json:
    """Returns the JSON object that a text holds.

    Raises:
        DeploymentError: it holds none.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DeploymentError(f"Expected a JSON {what}. Received: {text[:2000]!r}.") from error
    if not isinstance(value, dict):
        raise DeploymentError(f"Expected a JSON object as {what}. Received: {text[:2000]!r}.")
    return value


def _inputs(given: Json, spec: Json, names: Names) -> dict[str, list[Artifact]]:
    declared = spec.get("artifacts", {})
    result: dict[str, list[Artifact]] = {}
    for key, listed in given.items():
        # The back end leaves the types of inputs empty; the declaration has them.
        artifact_class = _class_of(declared[key]["artifactType"])
        present = [one for one in listed.get("artifacts", ()) if not _is_absent(one)]
        result[key] = [_input(artifact_class, one, names) for one in present]
    return result


def _is_absent(artifact: Json) -> bool:
    return bool(artifact.get("metadata", {}).get(ABSENT))


def _input(artifact_class: type[Artifact], given: Json, names: Names) -> Artifact:
    artifact = artifact_class()
    artifact.uri = local_path(given)
    artifact.id = _identity(given)
    uri = given.get("uri", "")
    names.add(artifact.uri, uri)
    # An object store has no empty folders; executors were promised one.
    _make_folder(artifact)
    set_metadata(artifact, given.get("metadata", {}))
    artifact.set_string_custom_property(STORED_AS, uri)
    return artifact


def _identity(given: Json) -> int:
    """TFX counts artifacts; the back end's name is that number, other runners' is any text."""
    name = given.get("name", "")
    if name.isdecimal():
        return int(name)
    digest = hashlib.sha256(f"{name} {given.get('uri', '')}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _LARGEST_ID


def set_metadata(artifact: Artifact, metadata: Json) -> None:
    """Sets properties and custom properties from a RuntimeArtifact's metadata.

    The back end returns lists and structs in wrappers and numbers without their type, and adds
    properties of its own.
    """
    declared = artifact.artifact_type.properties
    custom = {}
    for key, value in metadata.items():
        value = _unwrap(value)
        if value is None or (key in _OF_THE_BACK_END and key not in declared):
            continue
        if key in declared:
            setattr(artifact, key, _as_declared(artifact, key, value))
        else:
            custom[key] = value
    for key, value in custom.items():
        if isinstance(value, str):
            artifact.set_string_custom_property(key, value)
        else:
            # A JSON number answers as int and as float, whichever an executor asks for.
            number = isinstance(value, int | float)
            artifact.set_json_value_custom_property(key, float(value) if number else value)
    # Reading it makes TFX write JSON values into the message.
    _ = artifact.mlmd_artifact


def _unwrap(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        if isinstance(value.get("list"), list):
            return value["list"]
        if isinstance(value.get("struct"), dict):
            return value["struct"]
    return value


def _as_declared(artifact: Artifact, key: str, value: Any) -> Any:
    if isinstance(value, bool | int | float):
        current = getattr(artifact, key)
        if isinstance(current, bool | int | float):
            return type(current)(value)
    return value


def _outputs(given: Json, names: Names) -> dict[str, list[Artifact]]:
    result: dict[str, list[Artifact]] = {}
    for key, raw in tfx_outputs(given):
        artifact = _class_of(raw["type"])()
        artifact.uri = local_path(raw)
        names.add(artifact.uri, raw["uri"])
        _make_folder(artifact)
        result[key] = [artifact]
    return result


def tfx_outputs(given: Json) -> Iterator[tuple[str, Json]]:
    """Yields the outputs that a TFX executor knows about.

    The others are of `system.` types: `executor-logs`, which the back end adds to every task, and
    the pages and metrics that `covers compile` adds.
    """
    for key, raw in _each(given):
        if not _title(raw["type"]).startswith("system."):
            yield key, raw


def shown_outputs(given: Json) -> Iterator[tuple[str, Json]]:
    """Yields what `covers compile` added to the outputs for the user interface."""
    for key, raw in _each(given):
        if _title(raw["type"]) in _SHOWN:
            yield key, raw


def _each(given: Json) -> Iterator[tuple[str, Json]]:
    for key, listed in given.items():
        for raw in listed.get("artifacts", ()):
            yield key, raw


def _make_folder(artifact: Artifact) -> None:
    from tfx.types.value_artifact import ValueArtifact

    path = Path(artifact.uri)
    # The value of a ValueArtifact is a file.
    folder = path.parent if isinstance(artifact, ValueArtifact) else path
    folder.mkdir(parents=True, exist_ok=True)


def _title(artifact_type: Json) -> str:
    if "schemaTitle" in artifact_type:
        return str(artifact_type["schemaTitle"])
    return str(yaml.safe_load(artifact_type["instanceSchema"])["title"])


def _class_of(artifact_type: Json) -> type[Artifact]:
    """Finds a class of TFX by its name, and one of this project by its `TYPE_NAME`."""
    from tfx.types import standard_artifacts

    from components.contracts import artifacts

    group, _, name = _title(artifact_type).partition(".")
    module = standard_artifacts if group == "tfx" else artifacts
    found = getattr(module, name, None)
    if found is None:
        raise ValueError(f"no artifact class for the type {_title(artifact_type)!r}")
    return found  # type: ignore[no-any-return]


def _exec_properties(given: Json, spec: Json) -> dict[str, Any]:
    declared = spec.get("parameters", {})
    result = {}
    for key, value in given.get("parameterValues", {}).items():
        if value is None:
            continue
        kind = declared.get(key, {}).get("parameterType")
        if kind == "NUMBER_INTEGER":
            value = int(value)
        elif kind == "NUMBER_DOUBLE":
            value = float(value)
        elif kind == "STRING" and not isinstance(value, str):
            value = json.dumps(value)
        result[key] = value
    return result


def import_class(path: str) -> Any:
    """Imports `package.module.Class`.

    Raises:
        DeploymentError: the image has no such class.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DeploymentError(
            f"Expected the image to hold {path}. Received: {error}. Build the image from the same "
            "code that compiled the pipeline."
        ) from error
