"""Where at the push destination a candidate belongs."""

from __future__ import annotations

import dataclasses

from tfx import types
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.contracts import nodes
from components.contracts.pushed_models import PushedVersion, all_versions, next_location
from components.contracts.signatures import read_model_description


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the candidate is or is to be.

    Attributes:
        location: path or URL of the version.
        exists: whether it is there.
    """

    location: str
    exists: bool


def target_of(input_dict: dict[str, list[types.Artifact]], push_destination: str) -> Target | None:
    """Returns the newest version if it is whole and has the candidate's recipe, else a new one.

    Args:
        input_dict: the inputs of Pusher.
        push_destination: a folder or URL of pushed versions.

    Returns:
        The version; None unless both the evaluation and the serving check blessed the candidate.

    Raises:
        DeploymentError: the destination cannot be read.
    """
    for key in (nodes.MODEL_BLESSING, nodes.INFRA_BLESSING):
        blessing = artifact_utils.get_single_instance(input_dict[key])
        if blessing.get_int_custom_property(nodes.BLESSED) != 1:
            return None
    model = artifact_utils.get_single_uri(input_dict[nodes.MODEL])
    recipe = read_model_description(path_utils.serving_model_path(model)).recipe
    newest = next(all_versions(push_destination), None)
    if isinstance(newest, PushedVersion) and newest.description.recipe == recipe:
        return Target(newest.location, exists=True)
    return Target(next_location(push_destination), exists=False)
