"""BaselineModel: the latest pushed model, for the Evaluator to compare the candidate with.

It takes the place of a Resolver, so that the same graph runs locally and on Kubeflow Pipelines,
and never compares a model with itself, so that a repeated run re-evaluates nothing.
"""

from __future__ import annotations

import shutil
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.baseline_model.driver import BaselineModelDriver
from components.baseline_model.find import baseline_of, expected_baseline
from components.contracts import nodes
from components.contracts.saved_models import check_files
from components.support.file_systems import local_copy


class BaselineModelSpec(ComponentSpec):
    """Inputs, outputs and parameters of `BaselineModel`."""

    INPUTS: ClassVar = {nodes.CANDIDATE: ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS: ClassVar = {nodes.MODEL: ChannelParameter(type=standard_artifacts.Model)}
    PARAMETERS: ClassVar = {
        "push_destination": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
        nodes.EXPECTED_VERSION: ExecutionParameter(type=str, optional=True),
    }


class BaselineModelExecutor(BaseExecutor):
    """Copies the latest pushed model of another recipe; outputs no artifact if there is none."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills or empties `output_dict['model']`.

        Raises:
            DeploymentError: the push destination cannot be read, or the model there is damaged.
        """
        destination = exec_properties["push_destination"]
        # Where there is a driver or a task before this one, caches know the version it found.
        expected = exec_properties.get(nodes.EXPECTED_VERSION)
        if expected is None:
            candidate = artifact_utils.get_single_uri(input_dict[nodes.CANDIDATE])
            found = baseline_of(candidate, destination)
        else:
            found = expected_baseline(expected, destination)
        model = artifact_utils.get_single_instance(output_dict[nodes.MODEL])
        if found is None:
            output_dict[nodes.MODEL] = []
            return
        with local_copy(found.location) as version:
            check_files(version, found.description.files)
            shutil.copytree(version, path_utils.serving_model_dir(model.uri))
        model.set_string_custom_property(nodes.PUSHED_VERSION, str(found.version))


class BaselineModel(BaseComponent):
    """The latest pushed model.

    Args:
        candidate: the model to compare; a version of its own recipe, or for other genres, is
            not a baseline.
        push_destination: a folder, or a URL of an object store, with the pushed versions.
        code_fingerprint: hash of the code; a cache key only.
    """

    SPEC_CLASS = BaselineModelSpec
    EXECUTOR_SPEC = ExecutorClassSpec(BaselineModelExecutor)
    DRIVER_CLASS = BaselineModelDriver

    def __init__(
        self,
        candidate: types.BaseChannel,
        push_destination: str | RuntimeParameter,
        code_fingerprint: str,
    ) -> None:
        super().__init__(
            BaselineModelSpec(
                candidate=candidate,
                push_destination=push_destination,
                code_fingerprint=code_fingerprint,
                model=types.Channel(type=standard_artifacts.Model),
            )
        )
