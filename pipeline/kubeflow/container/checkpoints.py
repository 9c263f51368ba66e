"""Where a Trainer on Kubeflow keeps its checkpoints: in the object store, not in its pod."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from components.support.file_systems import is_url

_logger = logging.getLogger("covers")

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
    if not isinstance(options, dict) or options.get(_FOLDER) != "":
        return properties
    if not is_url(state):
        _logger.warning(
            "No checkpoints: the task cannot reach the pipeline root; compile with kubeflow.state, "
            "a folder in an object store. A killed training run will start over."
        )
    else:
        options[_FOLDER] = f"{state}/checkpoints"
        properties[_CUSTOM_CONFIG] = json.dumps(options)
    return properties
