"""Runs a package twice with kfp's local Docker runner, and looks at what comes out.

    python run_locally.py PACKAGE ROOT        with covers in ROOT/covers

The environment has kfp, not TFX. Each container runs as user 1000, without capabilities and with no
way to get more.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from docker.models.containers import Container, ContainerCollection
from google.protobuf import json_format
from kfp import components, local
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.platform_spec import kubernetes_config

LIMITS = {
    "user": "1000",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": "6g",
    "network_mode": "host",
}
EVERYTHING = {
    "image_pull_policy": "Always",
    "image_pull_secrets": ["registry"],
    "all_tasks": {
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "seconds": 60}],
        "secrets_as_env": [{"name": "s3", "keys": {"AWS_ACCESS_KEY_ID": "accesskey"}}],
        "config_maps_as_env": [{"name": "s3", "keys": {"AWS_ENDPOINT_URL_S3": "url"}}],
        "secrets": [{"name": "ca", "path": "/ca"}],
        "config_maps": [{"name": "options", "path": "/options"}],
        "volumes": [{"name": "covers", "path": "/data"}],
    },
}


def main(package: Path, root: Path, kept: list[Container]) -> None:
    check_protos(package)
    local.init(runner=local.DockerRunner(**LIMITS), pipeline_root=str(root))
    pipeline = components.load_component_from_file(str(package))
    given = {"data": str(root / "covers"), "push_destination": str(root / "serving")}

    run(pipeline, **given)
    (first,) = versions(root)
    print(f"first run: version {first}, no baseline")

    training = json.loads(default_training(package))
    training["config"]["seed"] = 7
    run(pipeline, **given, training=json.dumps(training))
    assert len(versions(root)) == 2, versions(root)
    second = max(root.glob("tiny-*"), key=lambda path: path.name)
    baselines = list(second.glob("BaselineModel/model/**/saved_model.pb"))
    assert baselines, "the second run found no baseline"
    print(f"second run: version {versions(root)[-1]}, compared with {first}")

    owners = {path.stat().st_uid for path in (root / "serving").rglob("*")}
    assert owners == {1000}, owners

    bad = root / "covers" / "bad.csv"
    lines = (root / "covers" / "labels.csv").read_text().splitlines()
    bad.write_text("\n".join([lines[0], *(f"{line}|polka" for line in lines[1:])]) + "\n")
    failure = "none"
    try:
        run(pipeline, **{**given, "data": str(bad)})
    except RuntimeError as error:
        failure = str(error)
    assert "DataGateStop" in failure, failure
    code, log = kept[-1].wait()["StatusCode"], kept[-1].logs().decode()
    assert code == 3, (code, log)
    assert "unknown_genre 160" in log, log
    third = max(root.glob("tiny-*"), key=lambda path: path.name)
    assert "DataGate: refused" in (third / "DataGate" / "refusal_page").read_text()
    assert not (third / "Trainer").exists()
    assert len(versions(root)) == 2
    print(f"refused data: not trained, DataGateStop exits with {code} and says:\n{log}")


@contextlib.contextmanager
def containers_kept() -> Iterator[list[Container]]:
    """Keeps containers until the end of the block; yields those that were started.

    kfp has them removed as they end, and then asks podman for their log and code: it finds none,
    which is an error, or takes a failure for a success (kfp/local/docker_task_handler.py).
    """
    kept: list[Container] = []
    start = ContainerCollection.run

    def run(self: ContainerCollection, *args: Any, **options: Any) -> Container:
        kept.append(start(self, *args, **{**options, "auto_remove": False}))
        return kept[-1]

    try:
        with mock.patch.object(ContainerCollection, "run", run):
            yield kept
    finally:
        for container in kept:
            container.remove(force=True)


def check_protos(package: Path) -> None:
    """Parses the package strictly as the messages of this kfp, unknown fields being errors."""
    spec, *_ = yaml.safe_load_all(package.read_text())
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    everything = KubeflowConfig.model_validate(EVERYTHING)
    json_format.ParseDict(
        kubernetes_config(everything, everything.all_tasks),
        kubernetes_executor_config_pb2.KubernetesExecutorConfig(),
    )


def run(pipeline: Any, **parameters: str) -> None:
    started = time.monotonic()
    try:
        pipeline(**parameters)
    finally:
        print(f"== run: {time.monotonic() - started:.0f} s", flush=True)


def default_training(package: Path) -> str:
    spec, *_ = yaml.safe_load_all(package.read_text())
    value: str = spec["root"]["inputDefinitions"]["parameters"]["training"]["defaultValue"]
    return value


def versions(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "serving").iterdir() if path.name.isdecimal())


if __name__ == "__main__":
    with containers_kept() as started:
        main(Path(sys.argv[1]), Path(sys.argv[2]), started)
