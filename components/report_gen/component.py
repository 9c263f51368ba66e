"""ReportGen: the report of a run that reached a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.contracts import nodes
from components.contracts.artifacts import GateDecision, Quarantine, Report
from components.contracts.decisions import read_decision
from components.contracts.genre_names import listing
from components.contracts.pushed_models import pushed_versions
from components.contracts.signatures import read_model_description
from components.report_gen.sources import RunFacts, Sources
from components.support.errors import ConfigError, DeploymentError

# In the order of the data flow, in which the report lists them.
INPUT_TYPES = {
    nodes.SCHEMA: standard_artifacts.Schema,
    nodes.EXAMPLES: standard_artifacts.Examples,
    nodes.QUARANTINE: Quarantine,
    nodes.STATISTICS: standard_artifacts.ExampleStatistics,
    nodes.ANOMALIES: standard_artifacts.ExampleAnomalies,
    nodes.DECISION: GateDecision,
    nodes.TUNER_RESULTS: standard_artifacts.TunerResults,
    nodes.MODEL: standard_artifacts.Model,
    nodes.MODEL_RUN: standard_artifacts.ModelRun,
    nodes.BASELINE_MODEL: standard_artifacts.Model,
    nodes.PREDICTIONS: standard_artifacts.Examples,
    nodes.EVALUATION: standard_artifacts.ModelEvaluation,
    nodes.BLESSING: standard_artifacts.ModelBlessing,
    nodes.INFRA_BLESSING: standard_artifacts.InfraBlessing,
    nodes.PUSHED_MODEL: standard_artifacts.PushedModel,
}


class ReportGenSpec(ComponentSpec):
    """Inputs, outputs and parameters of `ReportGen`; inputs may be missing."""

    INPUTS: ClassVar = {
        key: ChannelParameter(type=artifact_type, optional=True)
        for key, artifact_type in INPUT_TYPES.items()
    }
    OUTPUTS: ClassVar = {nodes.REPORT: ChannelParameter(type=Report)}
    PARAMETERS: ClassVar = {
        "config": ExecutionParameter(type=str),
        "data": ExecutionParameter(type=str),
        "data_fingerprint": ExecutionParameter(type=str),
        "push_destination": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }


class ReportGenExecutor(BaseExecutor):
    """Writes the report into its artifact."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills `output_dict['report']`."""
        from components.report_gen.build import write_report  # brings scikit-learn

        artifacts = {key: found[0] for key, found in input_dict.items() if found}
        config = json.loads(exec_properties["config"])
        pushed_to = _pushed_to(artifacts.get(nodes.PUSHED_MODEL))
        facts = RunFacts(
            pipeline=config["name"],
            outcome="pushed" if pushed_to else "not_blessed",
            data=exec_properties["data"],
            data_fingerprint=exec_properties["data_fingerprint"],
            config=config,
            pushed_to=pushed_to,
            baseline_version=_text(artifacts.get(nodes.BASELINE_MODEL), nodes.PUSHED_VERSION),
            decision=read_decision(artifacts[nodes.DECISION].uri)
            if nodes.DECISION in artifacts
            else None,
            on_cluster=any(_text(artifact, nodes.STORED_AS) for artifact in artifacts.values()),
            passed_over=_passed_over(artifacts, exec_properties["push_destination"]),
            artifacts={
                key: {"uri": _text(artifact, nodes.STORED_AS) or artifact.uri, "id": artifact.id}
                for key, artifact in sorted(artifacts.items(), key=lambda item: _place(item[0]))
            },
        )
        write_report(Path(output_dict[nodes.REPORT][0].uri), sources_of(artifacts), facts)


class ReportGen(BaseComponent):
    """One HTML file for people and its JSON twin.

    Args:
        inputs: channels by the keys of `INPUT_TYPES`.
        config: the pipeline's configuration as JSON.
        data: the data as given for the run.
        data_fingerprint: hash of the data's content.
        push_destination: where pushed versions are.
        code_fingerprint: hash of this folder's code; a cache key only.
    """

    SPEC_CLASS = ReportGenSpec
    EXECUTOR_SPEC = ExecutorClassSpec(ReportGenExecutor)

    def __init__(
        self,
        inputs: dict[str, types.BaseChannel],
        config: str,
        data: str | RuntimeParameter,
        data_fingerprint: str | RuntimeParameter,
        push_destination: str | RuntimeParameter,
        code_fingerprint: str,
    ) -> None:
        super().__init__(
            ReportGenSpec(
                **inputs,
                config=config,
                data=data,
                data_fingerprint=data_fingerprint,
                push_destination=push_destination,
                code_fingerprint=code_fingerprint,
                report=types.Channel(type=Report),
            )
        )


def sources_of(artifacts: dict[str, Any]) -> Sources:
    """Returns the folders of artifacts by the keys of `INPUT_TYPES`; each has a `uri`."""
    folders = {
        key: Path(artifacts[key].uri)
        for key in (
            nodes.SCHEMA,
            nodes.EXAMPLES,
            nodes.QUARANTINE,
            nodes.STATISTICS,
            nodes.ANOMALIES,
            nodes.MODEL_RUN,
            nodes.PREDICTIONS,
            nodes.EVALUATION,
            nodes.INFRA_BLESSING,
            nodes.TUNER_RESULTS,
        )
        if key in artifacts
    }
    models = {
        key: Path(path_utils.serving_model_path(artifacts[key].uri))
        for key in (nodes.MODEL, nodes.BASELINE_MODEL)
        if key in artifacts
    }
    return Sources(**folders, **models)


def _pushed_to(artifact: types.Artifact | None) -> str | None:
    if artifact is None or not artifact.get_int_custom_property(nodes.PUSHED):
        return None
    return artifact.get_string_custom_property(nodes.PUSHED_DESTINATION)


def _passed_over(artifacts: dict[str, types.Artifact], push_destination: str) -> tuple[str, ...]:
    """Says which newer pushed versions, for other genres, the model was not compared with."""
    if nodes.MODEL not in artifacts:
        return ()
    model = read_model_description(path_utils.serving_model_path(artifacts[nodes.MODEL].uri))
    compared = _text(artifacts.get(nodes.BASELINE_MODEL), nodes.PUSHED_VERSION)
    sentences = []
    try:
        for version in pushed_versions(push_destination):
            if compared and version.version <= int(compared):
                break
            if version.description.genres != model.genres:
                sentences.append(
                    f"Pushed version {version.version} was not compared with: it is for other "
                    f"genres ({listing(version.description.genres)})."
                )
    except (ConfigError, DeploymentError) as error:
        sentences.append(f"Other pushed versions are unknown: {error}")
    return tuple(sentences)


def _text(artifact: types.Artifact | None, name: str) -> str | None:
    return (artifact.get_string_custom_property(name) or None) if artifact else None


def _place(key: str) -> int:
    return list(INPUT_TYPES).index(key)
