"""The pipeline compiled for Kubeflow, and a loopback S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline

TINY = """
name: tiny
schema: {schema}
kubeflow:
  image: covers:test
trainer:
  image_size: 48
  epochs: 2
  early_stopping: null
  layers:
    - Rescaling: {{scale: 0.00784313725490196, offset: -1.0}}
    - Conv2D: {{filters: 8, kernel_size: 3, strides: 2}}
    - ReLU
    - GlobalAveragePooling2D
evaluation:
  gate:
    overall: {{macro_roc_auc: {{at_least: 0.0, tolerance: 1.0}}}}
    per_genre: {{roc_auc: {{at_least: 0.0, tolerance: 1.0}}}}
"""


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory, schema_path: Path) -> Path:
    file = tmp_path_factory.mktemp("config") / "tiny.yaml"
    file.write_text(TINY.format(schema=schema_path))
    return file


@pytest.fixture(scope="session")
def tiny_package(tiny_config: Path) -> dict[str, Any]:
    """The PipelineSpec of the tiny pipeline for the open-source back end."""
    return compile_pipeline(load_config(tiny_config)).documents[0]


@pytest.fixture(scope="session")
def package_file(
    tiny_package: dict[str, Any], tiny_config: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    from pipeline.kubeflow.compile import Package

    file = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    Package((tiny_package,), "kubeflow").write(file)
    return file


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """Yields the environment variables with which to use an S3 on this machine."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        import fsspec

        fsspec.filesystem("s3").mkdir("bucket")
        yield environment
    server.stop()
