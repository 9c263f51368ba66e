"""TFX's ExampleValidator, which also compares a new span with the previous one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components.example_validator import executor
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import writer_utils

from components.contracts.drift import find_drift
from components.contracts.label_schema import (
    NEWEST_SPAN_SPLIT,
    PREVIOUS_SPAN_SPLIT,
    SCHEMA_FILE_NAME,
    read_schema,
)


class Executor(executor.Executor):
    """Validates each split against the schema and adds the anomalies of drift, if there are spans.

    TFX's node has no input for earlier statistics; here they are a split of the same artifact.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> execution_result_pb2.ExecutorOutput:
        """Writes the anomalies of each split, those of drift under the newest span's name."""
        output = super().Do(input_dict, output_dict, exec_properties)
        statistics = artifact_utils.get_single_instance(
            input_dict[standard_component_specs.STATISTICS_KEY]
        )
        if PREVIOUS_SPAN_SPLIT not in artifact_utils.decode_split_names(statistics.split_names):
            return output
        schema_folder = artifact_utils.get_single_uri(
            input_dict[standard_component_specs.SCHEMA_KEY]
        )
        anomalies = find_drift(
            stats_artifact_utils.load_statistics(statistics, NEWEST_SPAN_SPLIT).proto(),
            stats_artifact_utils.load_statistics(statistics, PREVIOUS_SPAN_SPLIT).proto(),
            read_schema(Path(schema_folder) / SCHEMA_FILE_NAME),
        )
        artifact = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.ANOMALIES_KEY]
        )
        _add_split(artifact, anomalies)
        output.output_artifacts[standard_component_specs.ANOMALIES_KEY].artifacts[0].CopyFrom(
            artifact.mlmd_artifact
        )
        return output


def _add_split(artifact: types.Artifact, anomalies: anomalies_pb2.Anomalies) -> None:
    splits = artifact_utils.decode_split_names(artifact.split_names)
    artifact.split_names = artifact_utils.encode_split_names([*splits, NEWEST_SPAN_SPLIT])
    blessed = artifact.get_json_value_custom_property(executor.ARTIFACT_PROPERTY_BLESSED_KEY) or {}
    blessed[NEWEST_SPAN_SPLIT] = (
        executor.NOT_BLESSED_VALUE if anomalies.anomaly_info else executor.BLESSED_VALUE
    )
    artifact.set_json_value_custom_property(executor.ARTIFACT_PROPERTY_BLESSED_KEY, blessed)
    folder = Path(artifact_utils.get_split_uri([artifact], NEWEST_SPAN_SPLIT))
    writer_utils.write_anomalies(str(folder / executor.DEFAULT_FILE_NAME), anomalies)
