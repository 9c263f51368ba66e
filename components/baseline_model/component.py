"""BaselineModel: the latest pushed model, for the Evaluator to compare the candidate with.

It takes the place of a Resolver, so that the same graph runs locally and on Kubeflow Pipelines,
and never compares a model with itself, so that a repeated run re-evaluates nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.baseline_model.pushed import find_baseline
from components.label_schema import SCHEMA_FILE_NAME, LabelSchema

MODEL_KEY = "model"


class BaselineModelSpec(ComponentSpec):
    """Inputs, outputs and parameters of `BaselineModel`."""

    INPUTS: ClassVar = {"schema": ChannelParameter(type=standard_artifacts.Schema)}
    OUTPUTS: ClassVar = {MODEL_KEY: ChannelParameter(type=standard_artifacts.Model)}
    PARAMETERS: ClassVar = {
        "push_destination": ExecutionParameter(type=str),
        "recipe": ExecutionParameter(type=str),
        "expected_version": ExecutionParameter(type=str),
    }


class BaselineModelExecutor(BaseExecutor):
    """Copies the latest pushed model of another recipe; emits no artifact if there is none."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills or empties `output_dict['model']`."""
        schema_uri = artifact_utils.get_single_uri(input_dict["schema"])
        labels = LabelSchema.from_file(Path(schema_uri) / SCHEMA_FILE_NAME)
        found = find_baseline(
            exec_properties["push_destination"],
            recipe=exec_properties["recipe"],
            genres=labels.genres,
        )
        model = artifact_utils.get_single_instance(output_dict[MODEL_KEY])
        if found is None:
            output_dict[MODEL_KEY] = []
            return
        shutil.copytree(found.directory, path_utils.serving_model_dir(model.uri))
        model.set_string_custom_property("pushed_version", found.directory.name)


class BaselineModel(BaseComponent):
    """The latest pushed model.

    Args:
        schema: the label schema; a pushed model for other genres is no baseline.
        push_destination: folder of the pushed versions.
        recipe: fingerprint of all that makes the candidate: data, schema, code and options.
        expected_version: the version that the runner found just before the run, or an empty text;
            a cache key only, so that the search is repeated when its answer changes.
    """

    SPEC_CLASS = BaselineModelSpec
    EXECUTOR_SPEC = ExecutorClassSpec(BaselineModelExecutor)

    def __init__(
        self,
        schema: types.BaseChannel,
        push_destination: str,
        recipe: str,
        expected_version: str,
    ) -> None:
        super().__init__(
            BaselineModelSpec(
                schema=schema,
                push_destination=push_destination,
                recipe=recipe,
                expected_version=expected_version,
                model=types.Channel(type=standard_artifacts.Model),
            )
        )
