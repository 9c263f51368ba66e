"""TFX's StatisticsGen, with the options for covers."""

from __future__ import annotations

import json
from typing import Any

import tensorflow_data_validation as tfdv
from tfx import types
from tfx.components.statistics_gen import executor
from tfx.types import artifact_utils, standard_component_specs

from components.contracts.examples_account import check_split
from components.contracts.label_schema import PROFILED_FEATURES, slice_feature


class Executor(executor.Executor):
    """Computes the statistics of `PROFILED_FEATURES` and slice columns; images have none."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the statistics of each split.

        Raises:
            DamagedArtifact: the examples are not those that ingest wrote.
        """
        examples = artifact_utils.get_single_instance(
            input_dict[standard_component_specs.EXAMPLES_KEY]
        )
        for split in artifact_utils.decode_split_names(examples.split_names):
            check_split(examples.uri, split)
        slices = map(slice_feature, json.loads(exec_properties["slices"]))
        options = tfdv.StatsOptions(feature_allowlist=[*PROFILED_FEATURES, *slices])
        given = {standard_component_specs.STATS_OPTIONS_JSON_KEY: options.to_json()}
        super().Do(input_dict, output_dict, {**exec_properties, **given})
