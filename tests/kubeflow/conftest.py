"""The pipeline compiled for Kubeflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.kubeflow.compile import Package, compile_pipeline


@pytest.fixture(scope="session")
def tiny_config() -> Path:
    return Path(__file__).parent.parent / "containers" / "tiny.yaml"


@pytest.fixture(scope="session")
def tiny_package(tiny_config: Path) -> dict[str, Any]:
    """The PipelineSpec of the tiny pipeline for the open-source back end."""
    return compile_pipeline(load_config(tiny_config)).documents[0]


@pytest.fixture(scope="session")
def package_file(tiny_package: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    Package((tiny_package,), "kubeflow").write(file)
    return file
