"""Where tasks run, and with which resources: containers, and the Kubernetes half of the package.

Field names are those of kubeflow/pipelines' pipeline_spec.proto and
kubernetes_executor_config.proto. Secrets, ConfigMaps and claims are given as constants, in the
fields that every 2.x back end reads.
"""

from __future__ import annotations

from typing import Any

from pipeline.kubeflow.config import KeysAsEnv, KubeflowConfig, Mount, TaskConfig
from pipeline.kubeflow.pods import pod_config
from pipeline.kubeflow.quantities import quantity

_GIGABYTE = 1e9


def container_resources(task: TaskConfig) -> dict[str, Any]:
    """Returns a container's `resources`: CPUs, gigabytes, accelerators."""
    numbers = {
        "cpuRequest": task.cpu and quantity(task.cpu),
        "cpuLimit": task.cpu_limit and quantity(task.cpu_limit),
        "memoryRequest": task.memory and quantity(task.memory) / _GIGABYTE,
        "memoryLimit": task.memory_limit and quantity(task.memory_limit) / _GIGABYTE,
    }
    resources: dict[str, Any] = {key: value for key, value in numbers.items() if value}
    if task.accelerator:
        resources["accelerator"] = {
            "type": task.accelerator.type,
            "count": str(task.accelerator.count),
        }
    return resources


def kubernetes_config(kubeflow: KubeflowConfig, task: TaskConfig) -> dict[str, Any]:
    """Returns a KubernetesExecutorConfig; empty if nothing is configured."""
    config: dict[str, Any] = {
        "imagePullPolicy": kubeflow.image_pull_policy,
        "imagePullSecret": [{"secretName": name} for name in kubeflow.image_pull_secrets],
        "nodeSelector": {"labels": task.node_selector} if task.node_selector else {},
        "tolerations": [
            {
                "key": toleration.key or "",
                "operator": toleration.operator,
                "value": toleration.value,
                "effect": toleration.effect,
                **({} if toleration.seconds is None else {"tolerationSeconds": toleration.seconds}),
            }
            for toleration in task.tolerations
        ],
        "secretAsEnv": [_keys(one, "secretName", "secretKey") for one in task.secrets_as_env],
        "configMapAsEnv": [
            _keys(one, "configMapName", "configMapKey") for one in task.config_maps_as_env
        ],
        "secretAsVolume": [_mount(one, "secretName") for one in task.secrets],
        "configMapAsVolume": [_mount(one, "configMapName") for one in task.config_maps],
        "pvcMount": [_mount(one, "constant") for one in task.volumes],
        **pod_config(task),
    }
    return {key: value for key, value in config.items() if value}


def _keys(source: KeysAsEnv, name_field: str, key_field: str) -> dict[str, Any]:
    pairs = [{key_field: key, "envVar": variable} for variable, key in source.keys.items()]
    return {name_field: source.name, "keyToEnv": pairs}


def _mount(mount: Mount, name_field: str) -> dict[str, Any]:
    return {name_field: mount.name, "mountPath": mount.path}
