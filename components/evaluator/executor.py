"""TFX's Evaluator, which also writes the record of the evaluation and the gate's decision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tfx import types
from tfx.components.evaluator import executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.contracts import nodes
from components.contracts.decisions import write_decision
from components.contracts.evaluation_record import write_evaluation
from components.contracts.label_schema import TEST_SPLIT
from components.contracts.signatures import read_model_description
from components.evaluator import extractors
from components.evaluator.config import EvaluationConfig
from components.evaluator.eval_config import make_eval_config
from components.evaluator.results import decide, read_results
from components.evaluator.slices import plan_slices, planned, read_slice_values


class Executor(executor.Executor):
    """Evaluates predictions with TFMA; blesses the model if it meets every threshold."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills `evaluation` with TFMA's files, the record and the decision, and `blessing`."""
        config = EvaluationConfig.from_json(exec_properties["config"])
        model = artifact_utils.get_single_uri(input_dict[nodes.MODEL])
        genres = read_model_description(path_utils.serving_model_path(model)).genres
        predictions = artifact_utils.get_single_uri(input_dict[nodes.EXAMPLES])
        slicings = plan_slices(read_slice_values(predictions), config.slices)
        eval_config = make_eval_config(genres, config, list(slicings))
        for_tfx = {
            "eval_config": json_format.MessageToJson(eval_config),
            "example_splits": json.dumps([TEST_SPLIT]),
            "module_path": extractors.__name__,
        }
        with planned(slicings):
            super().Do(input_dict, output_dict, {**exec_properties, **for_tfx})
        folder = artifact_utils.get_single_uri(output_dict[nodes.EVALUATION])
        evaluation = read_results(Path(folder), genres, config)
        write_evaluation(folder, evaluation)
        write_decision(folder, decide(evaluation))
