"""The pipeline compiled for Kubeflow, and a loopback S3."""

from __future__ import annotations

from collections.abc import Iterator
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
