"""BatchInference: the outputs of the candidate and of the latest pushed model for each test cover.

It is the only node that runs models over the test split: TFMA evaluates its predictions, and the
report shows them. TFX's BulkInferrer takes one model, and writes each image again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.contracts import nodes
from components.contracts.examples_account import check_split
from components.contracts.files import COMPRESSED_SUFFIX
from components.contracts.label_schema import TEST_SPLIT
from components.contracts.predictions import BASELINE, CANDIDATE

_FILE_PREFIX = "predictions"
_MOST_EMBEDDED = 1_000  # about so many covers are enough for the map in the report
_MOST_IN_A_SHARD = 100_000  # covers, without images
_MODEL_INPUTS = {CANDIDATE: nodes.MODEL, BASELINE: nodes.BASELINE_MODEL}


class BatchInferenceSpec(ComponentSpec):
    """Inputs, outputs and parameters of `BatchInference`."""

    INPUTS: ClassVar = {
        nodes.EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        nodes.MODEL: ChannelParameter(type=standard_artifacts.Model),
        nodes.BASELINE_MODEL: ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS: ClassVar = {nodes.PREDICTIONS: ChannelParameter(type=standard_artifacts.Examples)}
    PARAMETERS: ClassVar = {"code_fingerprint": ExecutionParameter(type=str)}


class BatchInferenceExecutor(BaseBeamExecutor):
    """Reads the test split once and writes it without images, with the models' outputs."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills `output_dict['predictions']`, of one split.

        Raises:
            DamagedArtifact: the examples are not those that ingest wrote.
        """
        from components.batch_inference.inference import Predict  # brings Beam

        examples = artifact_utils.get_split_uri(input_dict[nodes.EXAMPLES], TEST_SPLIT)
        count = check_split(Path(examples).parent, TEST_SPLIT)
        predictions = artifact_utils.get_single_instance(output_dict[nodes.PREDICTIONS])
        predictions.split_names = artifact_utils.encode_split_names([TEST_SPLIT])
        target = artifact_utils.get_split_uri([predictions], TEST_SPLIT)
        models = {
            name: path_utils.serving_model_path(input_dict[key][0].uri)
            for name, key in _MODEL_INPUTS.items()
            if input_dict.get(key)
        }
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | beam.io.ReadFromTFRecord(str(Path(examples) / "*"))
                | Predict(models, embedded=min(1.0, _MOST_EMBEDDED / count) if count else 1.0)
                | beam.io.WriteToTFRecord(
                    str(Path(target) / _FILE_PREFIX),
                    file_name_suffix=COMPRESSED_SUFFIX,
                    num_shards=-(-count // _MOST_IN_A_SHARD) if count else 1,
                )
            )


class BatchInference(BaseBeamComponent):
    """The predictions of models for the test split.

    Args:
        examples: the ingested covers.
        model: the candidate.
        baseline_model: the latest pushed model, or a channel without an artifact.
        code_fingerprint: hash of the code; a cache key only.
    """

    SPEC_CLASS = BatchInferenceSpec
    EXECUTOR_SPEC = BeamExecutorSpec(BatchInferenceExecutor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        code_fingerprint: str,
    ) -> None:
        super().__init__(
            BatchInferenceSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                code_fingerprint=code_fingerprint,
                predictions=types.Channel(type=standard_artifacts.Examples),
            )
        )
