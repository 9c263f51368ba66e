"""The tasks that need no TensorFlow, and the image that has none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from make_targets import dry_run

from components.support.errors import ConfigError, MachineError
from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.container.scratch import use_scratch
from pipeline.kubeflow.graph import TASKS
from pipeline.kubeflow.pod_checks import check_pod
from pipeline.kubeflow.rewrite import ENTRYPOINT
from pipeline.kubeflow.small_tasks import is_small

ROOT = Path(__file__).parents[2]
Spec = dict[str, Any]


def _containers(spec: Spec) -> dict[str, Spec]:
    return {
        label.removeprefix("exec-").removesuffix("_executor"): executor["container"]
        for label, executor in spec["deploymentSpec"]["executors"].items()
    }


def test_they_are_those_that_the_compiler_adds(tiny_package: Spec) -> None:
    names = tiny_package["root"]["dag"]["tasks"]
    programs = {name: _containers(tiny_package)[name]["command"][-1] for name in names}
    assert programs == {name: TASKS if is_small(name) else ENTRYPOINT for name in names}


@pytest.fixture(scope="module")
def placed(tiny_config: Path) -> tuple[Spec, Spec]:
    overrides = [
        "kubeflow.all_tasks={memory: 4Gi, scratch: {size: 50Gi}}",
        "kubeflow.small_tasks={image: 'small:1', memory: 256Mi, labels: {size: small}}",
        "kubeflow.tasks={DataGateStop: {memory: 128Mi}, Trainer: {scratch: {size: 1Ti, "
        "storage_class: fast-ssd}}}",
    ]
    spec, platform = compile_pipeline(load_config(tiny_config, overrides)).documents
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_what_is_set_for_them_holds_between_all_tasks_and_one(placed: tuple[Spec, Spec]) -> None:
    spec, platform = placed
    containers = _containers(spec)
    images = {name: container["image"] for name, container in containers.items()}
    assert {name for name, image in images.items() if image == "small:1"} == {
        name for name in images if is_small(name)
    }
    gigabytes = {n: each["resources"]["memoryRequest"] for n, each in containers.items()}
    assert gigabytes["DataFingerprint"] == gigabytes["EvaluatorStop"] == 256 * 2**20 / 1e9
    assert gigabytes["DataGateStop"] == 128 * 2**20 / 1e9
    assert gigabytes["Trainer"] == 4 * 2**30 / 1e9
    assert platform["exec-BaselineVersion"] == {"podMetadata": {"labels": {"size": "small"}}}


def test_executors_get_a_volume_for_temporary_files(placed: tuple[Spec, Spec]) -> None:
    spec, platform = placed
    for name, container in _containers(spec).items():
        given = "--scratch" in container["args"]
        assert given == (not is_small(name))
        assert given == ("genericEphemeralVolume" in platform.get(f"exec-{name}", {}))
    words = _containers(spec)["Trainer"]["args"]
    assert words[words.index("--scratch") + 1] == "/scratch"
    volume = {"volumeName": "scratch", "mountPath": "/scratch", "accessModes": ["ReadWriteOnce"]}
    assert platform["exec-Trainer"]["genericEphemeralVolume"] == [
        {**volume, "size": "1Ti", "storageClassName": "fast-ssd"}
    ]
    assert platform["exec-Pusher"]["genericEphemeralVolume"] == [
        {**volume, "size": "50Gi", "defaultStorageClass": True}
    ]


@pytest.mark.parametrize("place", ["small_tasks", "DataGateStop"])
def test_a_volume_that_a_small_task_would_not_use_is_refused(place: str) -> None:
    given: Spec = {"all_tasks": {"scratch": {"size": "50Gi"}}}
    for name in ("DataGateStop", "Trainer"):
        check_pod(name, KubeflowConfig.from_fields(given).task(name))
    scratch = {"scratch": {"size": "1Gi"}}
    given |= {"small_tasks": scratch} if place == "small_tasks" else {"tasks": {place: scratch}}
    with pytest.raises(ConfigError, match=r"no scratch for DataGateStop, .*Received: 1Gi\."):
        check_pod("DataGateStop", KubeflowConfig.from_fields(given).task("DataGateStop"))


def test_temporary_files_are_made_there_by_children_as_well(tmp_path: Path) -> None:
    ask = "import tempfile; print(tempfile.gettempdir())"
    program = (
        f"import subprocess, sys; from {use_scratch.__module__} import use_scratch; "
        f"use_scratch({str(tmp_path)!r}); {ask}; sys.stdout.flush(); "
        f"subprocess.run([sys.executable, '-c', {ask!r}], check=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.splitlines() == [str(tmp_path)] * 2


def test_a_volume_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"none that user \d+ can write to.*\(scratch\)"):
        use_scratch(str(tmp_path / "none"))


@pytest.mark.slow
def test_their_image_has_neither_tensorflow_nor_tfx(small_programs: Path) -> None:
    done = subprocess.run(
        [small_programs / "python", "-c", "import tensorflow"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "No module named 'tensorflow'" in done.stderr


def test_make_image_builds_theirs_only_if_asked() -> None:
    build = ("image", "ENGINE=podman", "IMAGE=covers:test")
    *_, asked = dry_run(*build, "SMALL_TASKS=1")
    assert asked.startswith("podman build --target small-tasks ")
    *_, not_asked = dry_run(*build)
    assert not_asked.startswith("podman build --build-arg ")
    assert "--target" not in not_asked
    stages = re.findall(
        r"^FROM \S+(?: AS (\S+))?$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert "small-tasks" in stages
    assert stages[-1] == ""  # what is built unless a target is given
