"""Where a Trainer on Kubeflow keeps its checkpoints: in the object store, not in its pod."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from components.support.file_systems import is_url

_CUSTOM_CONFIG = "custom_config"
_FOLDER = "checkpoint_folder"


def with_checkpoints(exec_properties: Mapping[str, Any], state: str) -> dict[str, Any]:
    """Returns a task's parameters with a folder for checkpoints, if they leave one open.

    Args:
        exec_properties: the executor's parameters; only a Trainer's name such a folder.
        state: URL of the folder that outlives pods; empty if there is none.
    """
    properties = dict(exec_properties)
    try:
        options = json.loads(properties.get(_CUSTOM_CONFIG) or "")
    except (TypeError, json.JSONDecodeError):
        return properties
    if is_url(state) and isinstance(options, dict) and options.get(_FOLDER) == "":
        options[_FOLDER] = f"{state}/checkpoints"
        properties[_CUSTOM_CONFIG] = json.dumps(options)
    return properties
