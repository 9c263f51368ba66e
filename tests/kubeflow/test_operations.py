"""Every documented option of a cluster compiles, to messages that kfp knows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.config import PodOptions, TaskConfig
from pipeline.kubeflow.lifetimes import KeepWorkflow, Retries
from pipeline.kubeflow.pods import NodeAffinity, Requirement, Scratch, SecurityContext

Spec = dict[str, Any]

_PAGE = Path(__file__).parents[2] / "docs" / "kubeflow-operations.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", _PAGE.read_text(), flags=re.M | re.S)


@pytest.fixture(scope="module")
def messages() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in json.loads(Path(__file__).with_name("messages.json").read_text())["files"]:
        message = json_format.ParseDict(file, descriptor_pb2.FileDescriptorProto())
        pool.AddSerializedFile(message.SerializeToString())
    return pool


@pytest.fixture(scope="module")
def whole(tiny_config: Path) -> tuple[Spec, Spec]:
    """The package with all examples of the page at once."""
    overrides = [
        f"kubeflow.{name}={json.dumps(value)}"
        for example in EXAMPLES
        for name, value in yaml.safe_load(example).items()
        if name not in ("all_tasks", "tasks")
    ]
    for name in ("all_tasks", "tasks"):
        merged: Spec = {}
        for example in EXAMPLES:
            for key, value in yaml.safe_load(example).get(name, {}).items():
                merged[key] = {**merged.get(key, {}), **value} if name == "tasks" else value
        overrides.append(f"kubeflow.{name}={json.dumps(merged)}")
    spec, platform = compile_pipeline(load_config(tiny_config, overrides)).documents
    return spec, platform


def _parse(pool: descriptor_pool.DescriptorPool, name: str, value: Any) -> Any:
    # protobuf 3.20 makes classes with the one, protobuf 6 with the other.
    make = getattr(message_factory, "GetMessageClass", None)
    make = make or message_factory.MessageFactory(pool).GetPrototype
    message = make(pool.FindMessageTypeByName(name))()
    return json_format.ParseDict(value, message, descriptor_pool=pool)


def _check(pool: descriptor_pool.DescriptorPool, documents: tuple[Spec, ...]) -> None:
    """Raises on a field that kfp or kfp-kubernetes 2.17.3 does not know."""
    spec, *platforms = documents
    _parse(pool, "ml_pipelines.PipelineSpec", spec)
    _parse(pool, "ml_pipelines.PipelineDeploymentConfig", spec["deploymentSpec"])
    for platform in platforms:
        parsed = _parse(pool, "ml_pipelines.PlatformSpec", platform)
        assert set(parsed.platforms) == {"kubernetes"}
        executors = platform["platforms"]["kubernetes"].get("deploymentSpec", {})
        for executor in executors.get("executors", {}).values():
            _parse(pool, "kfp_kubernetes.KubernetesExecutorConfig", executor)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_compiles_to_known_messages(
    tiny_config: Path, messages: descriptor_pool.DescriptorPool, example: str
) -> None:
    overrides = [f"kubeflow={json.dumps({'image': 'covers:1', **yaml.safe_load(example)})}"]
    _check(messages, compile_pipeline(load_config(tiny_config, overrides)).documents)


def test_an_unknown_field_would_be_found(
    whole: tuple[Spec, Spec], messages: descriptor_pool.DescriptorPool
) -> None:
    platform = json.loads(json.dumps(whole[1]))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["exec-Trainer"]["priorityClass"] = "high"
    with pytest.raises(json_format.ParseError, match="priorityClass"):
        _check(messages, (whole[0], platform))


def test_the_page_has_an_example_of_every_option_of_this_page(
    messages: descriptor_pool.DescriptorPool,
) -> None:
    text = "\n".join(EXAMPLES)
    options = {"image", "retries", "active_deadline", "keep_workflow", "state"}
    for model in (
        PodOptions,
        Retries,
        KeepWorkflow,
        NodeAffinity,
        Requirement,
        SecurityContext,
        Scratch,
    ):
        options |= set(model.model_fields)
    missing = {name for name in options if not re.search(rf"\b{name}:", text)}
    assert missing == {"succeeded"}  # told in a table
    assert set(PodOptions.model_fields) < set(TaskConfig.model_fields)


def test_what_the_options_become(whole: tuple[Spec, Spec]) -> None:
    spec, platform = whole
    kubernetes = platform["platforms"]["kubernetes"]
    assert kubernetes["pipelineConfig"] == {
        "activeDeadlineSeconds": 86_400,
        "resourceTtlOnCompletion": 7 * 86_400,
        "resourceTtlOnFailure": 30 * 86_400,
    }
    trainer = kubernetes["deploymentSpec"]["executors"]["exec-Trainer"]
    assert trainer == {
        "podMetadata": {
            "labels": {"team": "music", "cost-centre": "4711"},
            "annotations": {"sidecar.istio.io/inject": "false"},
        },
        "nodeAffinity": [
            {
                "matchExpressions": [
                    {"key": "gpu.product", "operator": "In", "values": ["A100", "H100"]}
                ]
            },
            {
                "matchExpressions": [
                    {
                        "key": "topology.kubernetes.io/zone",
                        "operator": "In",
                        "values": ["eu-central-1a"],
                    }
                ],
                "weight": 50,
            },
        ],
        "genericEphemeralVolume": [
            {
                "volumeName": "scratch",
                "mountPath": "/scratch",
                "accessModes": ["ReadWriteOnce"],
                "size": "100Gi",
                "storageClassName": "fast-ssd",
            }
        ],
        "emptyDirMounts": [
            {
                "volumeName": "shared-memory",
                "mountPath": "/dev/shm",
                "medium": "Memory",
                "sizeLimit": "2Gi",
            }
        ],
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True},
        "activeDeadlineSeconds": 43_200,
    }
    executors = spec["deploymentSpec"]["executors"]
    assert executors["exec-Trainer"]["container"]["image"].endswith("-cuda")
    assert executors["exec-Pusher"]["container"]["image"] == "covers:test"


def test_retries_are_those_of_the_task_and_never_of_a_refusal(whole: tuple[Spec, Spec]) -> None:
    tasks = whole[0]["root"]["dag"]["tasks"]
    assert tasks["Trainer"]["retryPolicy"] == {
        "maxRetryCount": 3,
        "backoffDuration": "60s",
        "backoffFactor": 2,
        "backoffMaxDuration": "43200s",
    }
    assert tasks["Pusher"]["retryPolicy"]["maxRetryCount"] == 2
    assert {name for name in tasks if "retryPolicy" not in tasks[name]} == {
        name for name in tasks if name.endswith("Stop")
    }


def test_nothing_is_set_that_was_not_asked_for(tiny_package: Spec) -> None:
    assert "retryPolicy" not in json.dumps(tiny_package)
    assert "--state" not in json.dumps(tiny_package)
