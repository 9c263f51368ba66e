"""Compiles the pipeline to a package for Kubeflow Pipelines or Vertex AI."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from components.contracts import nodes
from components.contracts.label_schema import LabelSchema
from components.support.errors import ConfigError, DataError, ModelNotBlessed
from components.support.file_systems import is_url
from pipeline.config import PipelineConfig
from pipeline.kubeflow.backbones import backbones_are_here
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.engines import check_engine, shared_folder
from pipeline.kubeflow.graph import PYTHON_MODULE
from pipeline.kubeflow.mlflow import add_mlflow, check_mlflow
from pipeline.kubeflow.names import COMPILED_PIPELINE
from pipeline.kubeflow.notifications import add_notifications, check_no_url
from pipeline.kubeflow.rewrite import ENTRYPOINT, Gate, rewrite
from pipeline.kubeflow.run_inputs import default_parameters, run_inputs
from pipeline.kubeflow.small_tasks import BASELINE_VERSION_TASK, FINGERPRINT_TASK, STOP_SUFFIX
from pipeline.kubeflow.workers import check_workers

if TYPE_CHECKING:
    from tfx.orchestration.pipeline import Pipeline

Target = Literal["kubeflow", "vertex"]

SUFFIXES: dict[Target, tuple[str, ...]] = {"kubeflow": (".yaml", ".yml"), "vertex": (".json",)}

_BLESSING_TYPES = ("ModelBlessing", "InfraBlessing")
_READ_BY = {
    "data": (FINGERPRINT_TASK, nodes.COVER_EXAMPLE_GEN),
    "push_destination": (BASELINE_VERSION_TASK, nodes.BASELINE_MODEL_NODE, nodes.PUSHER),
}


@dataclasses.dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
        documents: the PipelineSpec and, unless it is empty, the PlatformSpec; or a PipelineJob.
        target: what can run it.
    """

    documents: tuple[dict[str, Any], ...]
    target: Target

    def write(self, output: Path) -> None:
        """Writes the package.

        Raises:
            ConfigError: the target cannot read a file of this name, or it cannot be written.
        """
        check_output(output, self.target)
        try:
            output.write_text(self.text(), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"Expected {output} to be writable. Received: {error}.") from error

    def describe(self) -> str:
        """Returns what it is in one line."""
        spec = self.documents[0].get("pipelineSpec", self.documents[0])
        name, tasks = spec["pipelineInfo"]["name"], spec["root"]["dag"]["tasks"]
        return f"Pipeline '{name}' for {self.target}, {len(tasks)} tasks,"

    def text(self) -> str:
        """Returns what the file holds."""
        if self.target == "vertex":
            return json.dumps(self.documents[0], indent=2, sort_keys=True) + "\n"
        return yaml.safe_dump_all(self.documents, sort_keys=True, width=100)


def check_output(output: Path, target: Target) -> None:
    """Raises unless the target can read a file of this name.

    Raises:
        ConfigError: says which names it can.
    """
    suffixes = SUFFIXES[target]
    if output.suffix not in suffixes:
        raise ConfigError(
            f"Expected the package for {target} to be named *{' or *'.join(suffixes)}. "
            f"Received: {output}."
        )


def compile_pipeline(
    config: PipelineConfig, target: Target = "kubeflow", *, use_cache: bool = True
) -> Package:
    """Compiles the pipeline that `config` describes.

    Args:
        config: what the pipeline does; `config.kubeflow` says where its tasks run.
        target: the open-source back end, or Vertex AI.
        use_cache: False runs every task in every run.

    Raises:
        ConfigError: a setting is wrong, or the target cannot run the pipeline.
    """
    _check(config)
    check_engine(config.engine, config.kubeflow, target)
    labels = LabelSchema.from_text(config.schema_text())
    from components.trainer.model import check_buildable
    from pipeline.pipeline import create_pipeline

    if backbones_are_here(config):
        check_buildable(config.trainer, len(labels.genres))
    tfx_pipeline = create_pipeline(_portable(config), run_inputs(config))
    tfx_pipeline.enable_cache = use_cache
    job = _compile_with_tfx(config, tfx_pipeline)
    defaults = default_parameters(config)
    if target == "vertex":
        if config.mlflow:
            raise ConfigError(
                "Expected a pipeline for vertex without the options of mlflow, which its tasks are "
                "not given. Received: some. Leave them out, and log a run by its report: "
                "covers log-to-mlflow REPORT.json"
            )
        job.setdefault("runtimeConfig", {})["parameterValues"] = dict(defaults)
        return Package((job,), target)
    gates = _gates(tfx_pipeline)
    spec, platform_spec = rewrite(
        job["pipelineSpec"],
        kubeflow=config.kubeflow,
        shared_folder=shared_folder(config.engine),
        defaults=defaults,
        gates=gates,
        pages=_pages(tfx_pipeline),
        genres=labels.genres,
        largest_file=labels.largest_file,
    )
    stops = [gate.node + STOP_SUFFIX for gate in gates if gate.at_once]
    add_notifications(spec, config.name, config.notifications, stops)
    add_mlflow(spec, config)
    return Package((spec, platform_spec) if platform_spec else (spec,), target)


def _portable(config: PipelineConfig) -> PipelineConfig:
    """Returns the configuration for the report, without the folder of the machine that compiles."""
    return config.model_copy(update={"schema_path": Path(config.schema_path.name)})


def _check(config: PipelineConfig) -> None:
    if not config.kubeflow.image:
        raise ConfigError(
            "Expected kubeflow.image to name the image of the tasks. Received: none. Build and "
            "push one (make image), and give it with --image or in the configuration."
        )
    COMPILED_PIPELINE.check(config.name)
    check_no_url(config.notifications)
    check_mlflow(config)
    check_workers(config.trainer, config.kubeflow)
    for option, readers in _READ_BY.items():
        _check_reachable(config.kubeflow, option, readers)


def _check_reachable(kubeflow: KubeflowConfig, option: str, readers: tuple[str, ...]) -> None:
    location = getattr(kubeflow, option)
    if location is None or is_url(location):
        return
    for node in readers:
        paths = [mount.path for mount in kubeflow.task(node).volumes]
        if not any(Path(location).is_relative_to(path) for path in paths):
            raise ConfigError(
                f"Expected kubeflow.{option} to be a URL (s3://, gs://), or a path below a volume "
                f"of {node}. Received: {location}; volumes at {', '.join(paths) or 'no path'}."
            )


def _compile_with_tfx(config: PipelineConfig, tfx_pipeline: Pipeline) -> dict[str, Any]:
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )

    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=config.kubeflow.image,
            default_commands=[*PYTHON_MODULE, ENTRYPOINT],
            use_pipeline_spec_2_1=True,
        )
    )
    job: dict[str, Any] = runner.run(tfx_pipeline, write_out=False)
    return job


def _gates(tfx_pipeline: Pipeline) -> list[Gate]:
    """Finds the nodes that can refuse: those that bless models, and the gate on the data."""
    gates = []
    for node in tfx_pipeline.components:
        if any(channel.type_name in _BLESSING_TYPES for channel in node.outputs.values()):
            gates.append(Gate(node.id, ModelNotBlessed.exit_code, at_once=False))
        elif node.id == nodes.DATA_GATE:
            gates.append(Gate(node.id, DataError.exit_code, at_once=True))
    return gates


def _pages(tfx_pipeline: Pipeline) -> dict[str, list[str]]:
    return {
        node.id: [key for key, channel in node.outputs.items() if hasattr(channel.type, "PAGE")]
        for node in tfx_pipeline.components
    }
