"""StatisticsGen: TFX's, for the features that can be profiled.

TFX's takes TFDV's options, and whoever makes them has to import TFDV, Beam and TensorFlow. Here the
executor makes them, so that a run which finds its statistics in the cache imports none of these.
"""

from __future__ import annotations

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ExecutionParameter

from components.statistics_gen.executor import Executor


class StatisticsGenSpec(standard_component_specs.StatisticsGenSpec):
    """Inputs, outputs and parameters of `StatisticsGen`."""

    PARAMETERS: ClassVar = {
        **standard_component_specs.StatisticsGenSpec.PARAMETERS,
        "slices": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }


class StatisticsGen(BaseBeamComponent):
    """Profiles each split of the examples.

    Args:
        examples: the ingested covers.
        slices: the slice columns, a JSON list.
        code_fingerprint: hash of the code; a cache key only.
    """

    SPEC_CLASS = StatisticsGenSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(self, examples: types.BaseChannel, slices: str, code_fingerprint: str) -> None:
        super().__init__(
            StatisticsGenSpec(
                examples=examples,
                slices=slices,
                code_fingerprint=code_fingerprint,
                statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )
