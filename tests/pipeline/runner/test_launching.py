from __future__ import annotations

from pathlib import Path

import pytest
from tfx.dsl.components.base.base_executor import EmptyExecutor
from tfx.dsl.io import fileio, filesystem_registry
from tfx.dsl.io.plugins.local import LocalFilesystem
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration.executable_spec_pb2 import (
    BeamExecutableSpec,
    PythonClassExecutableSpec,
)
from tfx.proto.orchestration.pipeline_pb2 import PipelineNode

from pipeline.runner.launching import _executors_imported_when_they_run, compile_for_run
from pipeline.runner.metadata import MetadataLocation

MISSING = "components.no_such_module.Executor"


def _python(class_path: str) -> PythonClassExecutableSpec:
    return PythonClassExecutableSpec(class_path=class_path)


@pytest.mark.parametrize(
    "spec", [_python(MISSING), BeamExecutableSpec(python_executor_spec=_python(MISSING))]
)
def test_a_node_is_launched_without_its_executor_until_it_runs(
    spec: PythonClassExecutableSpec | BeamExecutableSpec,
) -> None:
    with _executors_imported_when_they_run(()):
        operator = launcher.DEFAULT_EXECUTOR_OPERATORS[type(spec)](executor_spec=spec)
        with pytest.raises(ImportError, match=MISSING):
            operator.run_executor(ExecutionInfo())
    with pytest.raises(ImportError, match=MISSING):
        launcher.DEFAULT_EXECUTOR_OPERATORS[type(spec)](executor_spec=spec)


def test_an_executor_that_runs_is_the_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[object] = []
    monkeypatch.setattr(EmptyExecutor, "Do", lambda self, *arguments: ran.append(self))
    spec = _python(f"{EmptyExecutor.__module__}.{EmptyExecutor.__name__}")
    with _executors_imported_when_they_run(()):
        operator = launcher.DEFAULT_EXECUTOR_OPERATORS[type(spec)](executor_spec=spec)
        operator.run_executor(
            ExecutionInfo(
                input_dict={},
                output_dict={},
                exec_properties={},
                pipeline_node=PipelineNode(),
                execution_output_uri=str(tmp_path / "output"),
            )
        )
    assert [type(executor) for executor in ran] == [EmptyExecutor]


def test_local_files_are_read_without_tensorflow_and_others_with_it(tmp_path: Path) -> None:
    pipeline = Pipeline(pipeline_name="empty", pipeline_root=str(tmp_path), components=[])
    compile_for_run(pipeline, MetadataLocation(tmp_path), "run-1")
    registry = filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY
    assert registry.get_filesystem_for_path(str(tmp_path)) is LocalFilesystem
    assert registry.get_filesystem_for_path("gs://bucket/folder") is not LocalFilesystem
    with fileio.open(str(tmp_path / "text"), "w") as file:
        file.write("covers")
    assert (tmp_path / "text").read_text() == "covers"
