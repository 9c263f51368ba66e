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
from pathlib import Path
from typing import Any

import docker
import yaml
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


def main(package: Path, root: Path) -> None:
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
    # kfp's runner takes a container that podman removed before it asked for one that succeeded
    # (docker_task_handler.py), and goes on: what counts is what the gate said, and the code of the
    # task after it.
    with contextlib.suppress(RuntimeError, ValueError):
        run(pipeline, **{**given, "data": str(bad)})
    third = max(root.glob("tiny-*"), key=lambda path: path.name)
    assert "DataGate: refused" in (third / "DataGate" / "refusal_page").read_text()
    assert len(versions(root)) == 2
    output = json.loads((third / "DataGate" / "executor_output.json").read_text())
    code, log = stop_container(package, output["parameterValues"]["refusal"])
    assert code == 3, (code, log)
    assert "unknown_genre 160" in log, log
    print(f"refused data: nothing pushed, DataGateStop exits with {code} and says:\n{log}")


def stop_container(package: Path, reason: str) -> tuple[int, str]:
    """Runs the container of DataGateStop as the package says; returns exit code and log."""
    spec, *_ = yaml.safe_load_all(package.read_text())
    container = spec["deploymentSpec"]["executors"]["exec-DataGateStop"]["container"]
    command = [*container["command"], *container["args"][:-1], reason]
    client = docker.from_env()
    started = client.containers.run(container["image"], command, detach=True, **LIMITS)
    try:
        return started.wait()["StatusCode"], started.logs().decode()
    finally:
        started.remove()
        client.close()


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
    main(Path(sys.argv[1]), Path(sys.argv[2]))
