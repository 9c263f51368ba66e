"""What a TFX executor left behind, as the ExecutorOutput that the launcher reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.kubeflow.container.executor_input import ABSENT, TaskInput, shown_outputs, tfx_outputs
from pipeline.kubeflow.container.staging import local_path

if TYPE_CHECKING:
    from tfx.types.artifact import Artifact

PAGE_SUFFIX = "_page"
"""Added to the key of an artifact that holds a page, for the output that shows the page."""


def write_executor_output(
    task: TaskInput,
    outputs: Mapping[str, list[Artifact]],
    parameters: Mapping[str, Any] | None = None,
    shown: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Writes the file.

    Args:
        task: what was asked.
        outputs: key -> the artifacts that the executor left; an empty list marks an absent output.
        parameters: output parameter -> value.
        shown: output for the user interface -> its metadata.
    """
    artifacts = {}
    for key, raw in tfx_outputs(task.raw_outputs.get("artifacts", {})):
        left = outputs.get(key, [])
        metadata = _metadata(left[0], task) if left else {ABSENT: 1}
        artifacts[key] = {
            "artifacts": [
                {"name": raw.get("name", key), "uri": raw["uri"], "metadata": metadata},
            ]
        }
    for key, raw in shown_outputs(task.raw_outputs.get("artifacts", {})):
        metadata = dict((shown or {}).get(key, {}))
        one = {"name": raw.get("name", key), "uri": raw["uri"]}
        artifacts[key] = {"artifacts": [{**one, "metadata": metadata} if metadata else one]}
    output = {"artifacts": artifacts, "parameterValues": dict(parameters or {})}
    task.output_file.parent.mkdir(parents=True, exist_ok=True)
    task.output_file.write_text(json.dumps(output), encoding="utf-8")


def page_output(task: TaskInput, key: str) -> Path | None:
    """Returns where to put the page that the compiler added as output `key`, if it did."""
    for raw in task.raw_outputs.get("artifacts", {}).get(key, {}).get("artifacts", ()):
        path = Path(local_path(raw))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
    return None


def _metadata(artifact: Artifact, task: TaskInput) -> dict[str, Any]:
    message = artifact.mlmd_artifact
    values = {key: getattr(artifact, key) for key in message.properties}
    for key in message.custom_properties:
        # A custom property never hides a declared one of the same name.
        values.setdefault(key, _custom_value(artifact, key))
    # The back end cannot store null, and other tasks stage artifacts elsewhere.
    return {k: _restored(v, task) for k, v in values.items() if v is not None}


def _custom_value(artifact: Artifact, key: str) -> Any:
    value = artifact.mlmd_artifact.custom_properties[key]
    kind = value.WhichOneof("value")
    if kind == "struct_value":
        return artifact.get_json_value_custom_property(key)
    if kind in ("int_value", "double_value", "string_value", "bool_value"):
        return getattr(value, kind)
    return None


def _restored(value: Any, task: TaskInput) -> Any:
    if isinstance(value, str):
        return task.names.restore(value)
    if isinstance(value, dict):
        return {k: _restored(v, task) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_restored(v, task) for v in value if v is not None]
    return value
