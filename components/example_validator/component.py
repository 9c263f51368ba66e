"""ExampleValidator: TFX's, with drift between spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ExecutionParameter
from tfx.utils import json_utils

from components.example_validator.executor import Executor


class ExampleValidatorSpec(standard_component_specs.ExampleValidatorSpec):
    """Inputs, outputs and parameters of `ExampleValidator`."""

    PARAMETERS: ClassVar = {
        **standard_component_specs.ExampleValidatorSpec.PARAMETERS,
        "code_fingerprint": ExecutionParameter(type=str),
    }


class ExampleValidator(BaseComponent):
    """Validates statistics against the schema, and a new span against the one before it.

    Its `anomalies` have a split for each split of the statistics and, for data in spans, the split
    `newest_span` with the anomalies of drift.

    Args:
        statistics: the statistics of each split.
        schema: the label schema.
        exclude_splits: splits that the schema says nothing of.
        code_fingerprint: hash of the code; a cache key only.
    """

    SPEC_CLASS = ExampleValidatorSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        exclude_splits: Sequence[str],
        code_fingerprint: str,
    ) -> None:
        super().__init__(
            ExampleValidatorSpec(
                statistics=statistics,
                schema=schema,
                exclude_splits=json_utils.dumps(list(exclude_splits)),
                code_fingerprint=code_fingerprint,
                anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
