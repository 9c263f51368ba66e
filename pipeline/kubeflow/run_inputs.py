"""What a compiled pipeline is made of and leaves open, from a configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.config import PipelineConfig
from pipeline.kubeflow.parameters import DATA, PUSH_DESTINATION, TRAINING
from pipeline.runner.fingerprints import fingerprint_components
from pipeline.runner.training_options import training_options, tuning_options

if TYPE_CHECKING:
    from pipeline.pipeline import RunInputs


def run_inputs(config: PipelineConfig) -> RunInputs:
    """Returns the inputs of `create_pipeline` for a pipeline that is compiled, not run.

    The schema and the fingerprints of the code are already known; the data's fingerprint is not,
    and a task of the compiled pipeline fills it in.
    """
    from tfx.orchestration.data_types import RuntimeParameter

    from pipeline.pipeline import RunInputs

    return RunInputs(
        # Given when the pipeline is run, but TFX wants one now.
        pipeline_root=config.kubeflow.pipeline_root or "",
        push_destination=RuntimeParameter(PUSH_DESTINATION, str),
        data=RuntimeParameter(DATA, str),
        data_fingerprint="",
        schema_text=config.schema_text(),
        training=RuntimeParameter(TRAINING, str),
        tuning=tuning_options(config, asks_stores=False),
        code_fingerprints=fingerprint_components(),
        beam_args=config.beam_args,
    )


def default_parameters(config: PipelineConfig) -> dict[str, str]:
    """Returns parameter -> default; a run must supply the others."""
    defaults = {
        DATA: config.kubeflow.data,
        PUSH_DESTINATION: config.kubeflow.push_destination,
        TRAINING: json.dumps(training_options(config, asks_stores=False)),
    }
    return {name: value for name, value in defaults.items() if value}
