"""InfraValidator: whether the exported model can be served, before it is pushed.

The name, and the InfraBlessing that it writes, are TFX's. TFX's own InfraValidator starts
TensorFlow Serving in Docker or on Kubernetes, which a laptop, a CI job and an unprivileged pod do
not have. This one loads the model in fresh processes: through TensorFlow's C API, as TensorFlow
Serving and KServe do, and through Python's loader. It then asks it what clients will ask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.contracts import nodes
from components.contracts.decisions import write_decision
from components.contracts.predictions import read_predictions
from components.contracts.serving_check import ServingCheck, State, write_serving_check
from components.contracts.signatures import read_model_description
from components.infra_validator.check import check_model, decide
from components.infra_validator.config import InfraValidatorConfig
from components.infra_validator.recorded import read_recorded

# A GPU rounds the products of convolutions to ten bits; the check itself runs on the CPU.
_DIFFERENCE_FROM_A_GPU = 0.01


class InfraValidatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `InfraValidator`; output and model are named as TFX's."""

    INPUTS: ClassVar = {
        nodes.MODEL: ChannelParameter(type=standard_artifacts.Model),
        nodes.MODEL_BLESSING: ChannelParameter(type=standard_artifacts.ModelBlessing),
        nodes.EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        nodes.PREDICTIONS: ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS: ClassVar = {nodes.BLESSING: ChannelParameter(type=standard_artifacts.InfraBlessing)}
    PARAMETERS: ClassVar = {
        "config": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }


class InfraValidatorExecutor(BaseExecutor):
    """Checks a blessed model, and blesses it for serving or says why not."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills `blessing` with the record and the decision, and sets its `blessed`, 0 or 1.

        A model that the evaluation refused is not loaded. It is not blessed either, and no second
        refusal is written.

        Raises:
            MachineError: the machine ended the check; no verdict is written.
        """
        evaluated = artifact_utils.get_single_instance(input_dict[nodes.MODEL_BLESSING])
        if evaluated.get_int_custom_property(nodes.BLESSED) == 1:
            check = self._check(
                input_dict, InfraValidatorConfig.from_json(exec_properties["config"])
            )
        else:
            check = ServingCheck(State.NOT_CHECKED)
        blessing = artifact_utils.get_single_instance(output_dict[nodes.BLESSING])
        write_serving_check(blessing.uri, check)
        write_decision(blessing.uri, decide(check))
        blessing.set_int_custom_property(nodes.BLESSED, int(check.state is State.PASSED))

    def _check(
        self, input_dict: dict[str, list[types.Artifact]], config: InfraValidatorConfig
    ) -> ServingCheck:
        import tensorflow as tf

        uris = {key: artifact_utils.get_single_uri(found) for key, found in input_dict.items()}
        model = Path(path_utils.serving_model_path(uris[nodes.MODEL]))
        from_evaluation = config.max_difference
        if tf.config.list_physical_devices("GPU"):
            from_evaluation = max(from_evaluation, _DIFFERENCE_FROM_A_GPU)
        return check_model(
            model,
            read_recorded(uris[nodes.EXAMPLES], config.requests),
            read_predictions(Path(uris[nodes.PREDICTIONS]), read_model_description(model)),
            config,
            from_evaluation,
        )


class InfraValidator(BaseComponent):
    """Blesses a model that loads and answers as servers and clients need it to.

    Args:
        model: the model.
        model_blessing: the verdict of the evaluation.
        examples: the ingested covers; those of the test split are asked about.
        predictions: what BatchInference wrote for them.
        config: an `InfraValidatorConfig` as JSON.
        code_fingerprint: hash of the code; a cache key only.
    """

    SPEC_CLASS = InfraValidatorSpec
    EXECUTOR_SPEC = ExecutorClassSpec(InfraValidatorExecutor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        examples: types.BaseChannel,
        predictions: types.BaseChannel,
        config: str,
        code_fingerprint: str,
    ) -> None:
        super().__init__(
            InfraValidatorSpec(
                model=model,
                model_blessing=model_blessing,
                examples=examples,
                predictions=predictions,
                config=config,
                code_fingerprint=code_fingerprint,
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
