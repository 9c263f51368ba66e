"""Pusher: delivers a blessed model to the push destination.

It takes the place of TFX's Pusher, whose destination is a JSON message that nobody can type as a
parameter of a run, which cannot write to S3 without a TensorFlow plug-in, and which pushes an
unchanged model under a new version whenever it is evaluated again.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.contracts import nodes
from components.contracts.artifacts import Quarantine
from components.contracts.evaluation_record import read_evaluation
from components.contracts.model_card import make_model_card, write_model_card
from components.contracts.pushed_models import PushedVersion, push_model
from components.contracts.quarantine import read_summary
from components.contracts.rollbacks import refuse_withdrawn
from components.contracts.signatures import read_model_description
from components.pusher.driver import TARGET, PusherDriver
from components.pusher.target import target_of

_logger = logging.getLogger(__name__)


class PusherSpec(ComponentSpec):
    """Inputs, outputs and parameters of `Pusher`."""

    INPUTS: ClassVar = {
        nodes.MODEL: ChannelParameter(type=standard_artifacts.Model),
        nodes.MODEL_BLESSING: ChannelParameter(type=standard_artifacts.ModelBlessing),
        nodes.INFRA_BLESSING: ChannelParameter(type=standard_artifacts.InfraBlessing),
        nodes.EVALUATION: ChannelParameter(type=standard_artifacts.ModelEvaluation),
        nodes.QUARANTINE: ChannelParameter(type=Quarantine),
    }
    OUTPUTS: ClassVar = {nodes.PUSHED_MODEL: ChannelParameter(type=standard_artifacts.PushedModel)}
    PARAMETERS: ClassVar = {
        "push_destination": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
        TARGET: ExecutionParameter(type=str, optional=True),
    }


class PusherExecutor(BaseExecutor):
    """Makes a blessed model the newest version at the destination, unless it is already.

    A model that a rollback took back is refused.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Sets `pushed`, 0 or 1, and if 1 `pushed_destination` and `pushed_version`.

        Raises:
            DeploymentError: the destination cannot be read or written.
            ModelNotBlessed: a rollback took the model back.
        """
        pushed_model = artifact_utils.get_single_instance(output_dict[nodes.PUSHED_MODEL])
        destination = exec_properties["push_destination"]
        target = target_of(input_dict, destination)
        if target is None:
            pushed_model.set_int_custom_property(nodes.PUSHED, 0)
            return
        model = Path(
            path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict[nodes.MODEL]))
        )
        description = read_model_description(model)

        def check(location: str) -> None:
            refuse_withdrawn(description.recipe, destination)

        if not target.exists:
            check(target.location)
        # TFX keeps a copy of what was pushed as the artifact.
        complete = Path(pushed_model.uri)
        shutil.copytree(model, complete, dirs_exist_ok=True)
        write_model_card(complete, _card(model, input_dict))
        if target.exists:
            version = PushedVersion(target.location, description)
            _logger.info("The newest version, %s, has the same recipe.", version.location)
        else:
            # The driver, where there is one, has made a location part of the cache key.
            location = exec_properties.get(TARGET) or target.location
            version = push_model(complete, destination, location, check=check)
            _logger.info("Pushed to %s.", version.location)
        pushed_model.set_int_custom_property(nodes.PUSHED, 1)
        pushed_model.set_string_custom_property(nodes.PUSHED_DESTINATION, version.location)
        pushed_model.set_string_custom_property(nodes.PUSHED_VERSION, str(version.version))


def _card(model: Path, input_dict: dict[str, list[types.Artifact]]) -> dict[str, Any]:
    return make_model_card(
        read_model_description(model),
        read_evaluation(artifact_utils.get_single_uri(input_dict[nodes.EVALUATION])),
        read_summary(artifact_utils.get_single_uri(input_dict[nodes.QUARANTINE])),
    )


class Pusher(BaseComponent):
    """Delivers a blessed model and its model card.

    Args:
        model: the model.
        model_blessing: the verdict of the evaluation.
        infra_blessing: the verdict of the serving check.
        push_destination: a folder, or a URL of an object store, for the numbered versions.
        evaluation: the evaluation, for the model card.
        quarantine: the row counts of the data, for the model card.
        code_fingerprint: hash of the code; a cache key only.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(PusherExecutor)
    DRIVER_CLASS = PusherDriver

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        push_destination: str | RuntimeParameter,
        evaluation: types.BaseChannel,
        quarantine: types.BaseChannel,
        code_fingerprint: str,
    ) -> None:
        super().__init__(
            PusherSpec(
                model=model,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                push_destination=push_destination,
                evaluation=evaluation,
                quarantine=quarantine,
                code_fingerprint=code_fingerprint,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
