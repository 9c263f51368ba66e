"""The pipeline compiled for Kubeflow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp_api import KfpApi, serving

from pipeline.config import load_config
from pipeline.kubeflow import waiting
from pipeline.kubeflow.compile import Package, compile_pipeline

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"


@pytest.fixture(scope="session")
def tiny_config() -> Path:
    return Path(__file__).parent.parent / "containers" / "tiny.yaml"


@pytest.fixture(scope="session")
def tiny_package(tiny_config: Path) -> dict[str, Any]:
    """The PipelineSpec of the tiny pipeline for the open-source back end."""
    return compile_pipeline(load_config(tiny_config)).documents[0]


def _programs(folder: Path, lock: str) -> Path:
    """Makes an environment with what a lock names and the project; returns its programs."""
    environment = folder / "venv"
    python = environment / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    for words in (
        ["venv", "--python", sys.executable, str(environment)],
        ["pip", "sync", "--python", str(python), "--require-hashes", str(LOCKS / lock)],
        ["pip", "install", "--python", str(python), "--no-deps", "--no-build-isolation",
         "--editable", str(ROOT)],
    ):  # fmt: skip
        subprocess.run([str(uv), "--quiet", *words], check=True)
    return python.parent


@pytest.fixture(scope="session")
def small_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the image for the tasks that need no TensorFlow."""
    return _programs(tmp_path_factory.mktemp("small"), "small-tasks.txt")


@pytest.fixture(scope="session")
def kfp_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the environment that `make kfp` creates."""
    return _programs(tmp_path_factory.mktemp("kfp"), "kfp.txt")


@pytest.fixture(scope="session")
def package_file(tiny_package: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    Package((tiny_package,), "kubeflow").write(file)
    return file


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpApi]:
    """A stub of the API, which the commands find in their environment."""
    pytest.importorskip("kfp.client", reason="tfx-1.21 has no kfp from Python 3.12 on")
    stub = KfpApi()
    monkeypatch.setenv("HOME", str(tmp_path))  # kfp keeps a context file there
    monkeypatch.setattr(waiting, "_POLL_SECONDS", 0.01)
    with serving(stub) as url:
        monkeypatch.setenv("KFP_HOST", url)
        yield stub
