"""Compiles a pipeline and runs it by LocalDagRunner, so that a cached node imports nothing.

TFX's launcher imports the executor of each node before it asks the cache, and touches local files
through TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, ClassVar

from tfx.dsl.compiler.compiler import Compiler
from tfx.dsl.io import filesystem_registry
from tfx.dsl.io.plugins.local import LocalFilesystem
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.base_executor_operator import BaseExecutorOperator
from tfx.orchestration.portable.runtime_parameter_utils import substitute_runtime_parameter
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from pipeline.runner.metadata import MetadataLocation, open_store
from pipeline.runner.sealing import damaged_results_are_made_again, make_way, seal

_BEFORE_TENSORFLOW = -1  # TFX registers TensorFlow's file system with priority 0


def compile_for_run(
    tfx_pipeline: Pipeline, location: MetadataLocation, run_id: str
) -> pipeline_pb2.Pipeline:
    """Compiles a pipeline for one run, which ML Metadata will know by its id."""
    registry = filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY
    registry.register(LocalFilesystem, priority=_BEFORE_TENSORFLOW)
    tfx_pipeline.metadata_connection_config = location.connection()
    # TFX looks for cached results among those of pipelines of the same name.
    tfx_pipeline.pipeline_info.pipeline_name += location.suffix
    ir = Compiler().compile(tfx_pipeline)
    substitute_runtime_parameter(ir, {"pipeline-run-id": run_id})
    return ir


def launch(
    ir: pipeline_pb2.Pipeline, location: MetadataLocation, beam_args: tuple[str, ...] = ()
) -> None:
    """Runs a pipeline that was compiled for a location of ML Metadata.

    Results of earlier runs are used where they are whole.

    Args:
        ir: the compiled pipeline.
        location: the location.
        beam_args: arguments of Beam pipelines in place of those that were compiled, by which
            results in the cache are known.
    """
    with (
        _executors_imported_when_they_run(beam_args),
        _connecting_to(location),
        damaged_results_are_made_again(),
    ):
        LocalDagRunner().run_with_ir(ir)


@contextlib.contextmanager
def _connecting_to(location: MetadataLocation) -> Iterator[None]:
    """Keeps the password of a server out of the connection's options, which TFX logs."""
    if location.server is None:  # TFX connects for each node: no check of the whole file each time
        yield
        return

    class Metadata(metadata.Metadata):
        def __enter__(self) -> metadata.Metadata:
            self._store = open_store(location)
            self._users += 1
            return self

    original = metadata.Metadata
    metadata.Metadata = Metadata
    try:
        yield
    finally:
        metadata.Metadata = original


@contextlib.contextmanager
def _executors_imported_when_they_run(beam_args: tuple[str, ...]) -> Iterator[None]:
    operators = launcher.DEFAULT_EXECUTOR_OPERATORS
    original = dict(operators)
    operators.update({spec: _late(operator, beam_args) for spec, operator in original.items()})
    try:
        yield
    finally:
        operators.update(original)


@functools.cache
def _late(
    operator: type[BaseExecutorOperator], beam_args: tuple[str, ...]
) -> type[BaseExecutorOperator]:
    class LateOperator(BaseExecutorOperator):
        """Makes the operator, which imports the executor, when there is something to run."""

        SUPPORTED_EXECUTOR_SPEC_TYPE: ClassVar = operator.SUPPORTED_EXECUTOR_SPEC_TYPE
        SUPPORTED_PLATFORM_CONFIG_TYPE: ClassVar = operator.SUPPORTED_PLATFORM_CONFIG_TYPE

        def run_executor(self, execution_info: Any) -> Any:
            made = operator(
                executor_spec=_with_beam_args(self._executor_spec, beam_args),
                platform_config=self._platform_config,
            )
            made.with_execution_watcher(self._execution_watcher_address)
            make_way(execution_info.pipeline_node.node_info.id, execution_info.output_dict)
            output = made.run_executor(execution_info)
            seal(output)
            return output

    return LateOperator


def _with_beam_args(spec: Any, beam_args: tuple[str, ...]) -> Any:
    if not beam_args or not isinstance(spec, executable_spec_pb2.BeamExecutableSpec):
        return spec
    changed = executable_spec_pb2.BeamExecutableSpec()
    changed.CopyFrom(spec)
    del changed.beam_pipeline_args_placeholders[:]
    for argument in beam_args:
        changed.beam_pipeline_args_placeholders.add().value.string_value = argument
    return changed
