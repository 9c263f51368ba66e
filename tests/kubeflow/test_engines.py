"""The Beam stages of a compiled pipeline on an engine."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from components.contracts.nodes import ON_BEAM
from components.support.errors import ConfigError, DeploymentError
from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.container import entrypoint
from pipeline.kubeflow.container.shared import in_shared_folder

FLINK = [
    "engine={name: flink, shared_folder: /shared/beam, flink: {job_server: 'beam-jobs:8099', "
    "worker_pool: 'localhost:50000', parallelism: 8}}",
    "kubeflow.all_tasks.volumes=[{name: covers, path: /shared}]",
]
SPARK = [
    "engine={name: spark, shared_folder: /shared, spark: {job_server: 'beam-jobs:8099', "
    "worker_pool: 'localhost:50000'}}",
    *FLINK[1:],
]
DATAFLOW = [
    "engine={name: dataflow, shared_folder: /shared, dataflow: {project: my-project, "
    "region: europe-west1, temp: gs://bucket/temp, image: 'registry/covers:1'}}",
    *FLINK[1:],
]


def _arguments(tiny_config: Path, overrides: list[str]) -> dict[str, list[str]]:
    spec = compile_pipeline(load_config(tiny_config, overrides)).documents[0]
    executors = spec["deploymentSpec"]["executors"]
    found = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        found[name] = executors[label].get("container", {}).get("args", [])
    return found


@pytest.mark.parametrize("engine", [FLINK, SPARK, DATAFLOW], ids=["flink", "spark", "dataflow"])
def test_tasks_on_beam_get_the_engine_and_the_shared_folder(
    tiny_config: Path, engine: list[str]
) -> None:
    config = load_config(tiny_config, engine)
    folder = config.engine.shared_folder
    for name, arguments in _arguments(tiny_config, engine).items():
        is_on_beam = name in ON_BEAM
        assert ("--shared" in arguments) == is_on_beam, name
        if is_on_beam:
            assert arguments[arguments.index("--shared") + 1] == folder
            assert set(config.beam_args) <= set(arguments)


def test_the_contract_names_the_nodes_on_beam() -> None:
    from tfx.dsl.components.base.executor_spec import BeamExecutorSpec

    from pipeline.kubeflow.run_inputs import run_inputs
    from pipeline.pipeline import create_pipeline

    config = load_config("sample")
    components = create_pipeline(config, run_inputs(config)).components
    found = [each.id for each in components if isinstance(each.executor_spec, BeamExecutorSpec)]
    assert sorted(found) == sorted(ON_BEAM)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["engine.shared_folder=null"], r"Expected engine\.shared_folder, .*Received: none"),
        (["engine.shared_folder=/elsewhere"], r"below a volume of CoverExampleGen\. .*/elsewhere"),
        (
            ["kubeflow.all_tasks.volumes=[]"],
            r"volumes at no path\. Add one to kubeflow\.tasks\.CoverExampleGen\.volumes",
        ),
        (
            ["engine.flink.job_server=localhost:8099"],
            r"engine\.flink\.job_server to be the address of a service .*the task's own pod",
        ),
    ],
)
def test_what_an_engine_lacks_on_the_cluster_is_said(
    tiny_config: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        compile_pipeline(load_config(tiny_config, [*FLINK, *overrides]))


def test_vertex_has_no_volume_to_share(tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine\.name=local for vertex\. Received: flink"):
        compile_pipeline(load_config(tiny_config, FLINK), "vertex")


class _Artifact:
    def __init__(self, uri: Path) -> None:
        self.uri = str(uri)


class _Names:
    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def add(self, path: str, uri: str) -> None:
        self.known[path] = uri

    def restore(self, text: str) -> str:
        return text.replace("/", "s3://", 1) if text.startswith("/") else text


class _Task:
    def __init__(self, staging: Path) -> None:
        self.names = _Names()
        self.inputs = {"examples": [_Artifact(staging / "in")]}
        self.outputs = {"statistics": [_Artifact(staging / "out")]}
        (staging / "in").mkdir(parents=True)
        (staging / "in" / "file").write_text("given")


@pytest.fixture
def task(tmp_path: Path) -> Any:
    return _Task(tmp_path / "s3")


def test_a_task_works_in_the_shared_folder_and_leaves_nothing(task: Any, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    before = tempfile.gettempdir()
    with in_shared_folder(task, str(shared)):
        [given], [made] = task.inputs["examples"], task.outputs["statistics"]
        for uri in (given.uri, made.uri, tempfile.gettempdir()):
            assert Path(uri).is_relative_to(shared)
        assert task.names.known[made.uri] == f"s3://{tmp_path}/s3/out".replace("s3:///", "s3://")
        Path(made.uri).mkdir(parents=True)
        Path(made.uri, "made").write_text(Path(given.uri, "file").read_text())
    assert not list(shared.iterdir())
    assert tempfile.gettempdir() == before
    assert made.uri == str(tmp_path / "s3" / "out")
    assert (tmp_path / "s3" / "out" / "made").read_text() == "given"


def test_a_task_that_fails_leaves_nothing_either(task: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), in_shared_folder(task, str(tmp_path)):  # noqa: PT012
        Path(task.outputs["statistics"][0].uri).mkdir(parents=True)
        raise ValueError("broken")
    assert not (tmp_path / "s3" / "out").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["s3"]


def test_a_task_whose_pod_is_deleted_leaves_nothing_either(
    task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def main(_: Sequence[str]) -> int:
        with in_shared_folder(task, str(tmp_path)):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        return 0

    monkeypatch.setattr(entrypoint, "main", main)
    assert entrypoint.run([]) == 128 + signal.SIGTERM
    assert [entry.name for entry in tmp_path.iterdir()] == ["s3"]
    assert capfd.readouterr().err == "The task was ended by SIGTERM.\n"


def test_a_shared_folder_that_is_not_there_is_said(task: Any, tmp_path: Path) -> None:
    with (
        pytest.raises(
            DeploymentError, match=r"engine\.shared_folder to be on a volume .*no-volume"
        ),
        in_shared_folder(task, str(tmp_path / "no-volume")),
    ):
        pass


def test_without_a_shared_folder_everything_stays(task: Any) -> None:
    before = task.inputs["examples"][0].uri
    with in_shared_folder(task, ""):
        assert task.inputs["examples"][0].uri == before
