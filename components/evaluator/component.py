"""Evaluator: TFX's, on the predictions of BatchInference."""

from __future__ import annotations

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.contracts import nodes
from components.evaluator.executor import Executor


class EvaluatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `Evaluator`; the keys are those of TFX's."""

    INPUTS: ClassVar = {
        nodes.EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        nodes.MODEL: ChannelParameter(type=standard_artifacts.Model),
        nodes.BASELINE_MODEL: ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS: ClassVar = {
        nodes.EVALUATION: ChannelParameter(type=standard_artifacts.ModelEvaluation),
        nodes.BLESSING: ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    PARAMETERS: ClassVar = {
        "config": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }


class Evaluator(BaseBeamComponent):
    """Evaluates the predictions for the test split, by genre and slice, and decides on the push.

    Args:
        predictions: what BatchInference wrote.
        model: the candidate, to be blessed or not.
        baseline_model: the latest pushed model, or a channel without an artifact.
        config: an `EvaluationConfig` as JSON: the gate's thresholds, and how to measure.
        code_fingerprint: hash of the code; a cache key only.
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self,
        predictions: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        config: str,
        code_fingerprint: str,
    ) -> None:
        super().__init__(
            EvaluatorSpec(
                examples=predictions,
                model=model,
                baseline_model=baseline_model,
                config=config,
                code_fingerprint=code_fingerprint,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
