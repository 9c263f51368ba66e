"""What of a task's options does not fit together, once those of all tasks are added to its own."""

from __future__ import annotations

from collections.abc import Iterator

from components.support.errors import ConfigError
from pipeline.kubeflow.config import TaskConfig
from pipeline.kubeflow.kubernetes_values import folder
from pipeline.kubeflow.pods import SCRATCH, SCRATCH_VOLUME, SHARED_MEMORY, SHARED_MEMORY_VOLUME
from pipeline.kubeflow.quantities import quantity
from pipeline.kubeflow.small_tasks import is_small

# Where the back end mounts folders of its own (kubeflow/pipelines, argocompiler/container.go).
_TAKEN = (
    "/kfp-launcher", "/kfp-workspace", "/gcs", "/s3", "/minio", "/.local", "/.cache", "/.config",
)  # fmt: skip


def check_pod(name: str, task: TaskConfig) -> None:
    """Raises on options with which the cluster would take no pod of the task, or for nothing.

    Raises:
        ConfigError: names the task and the options.
    """
    _check_limit(name, "cpu", task.cpu, task.cpu_limit)
    _check_limit(name, "memory", task.memory, task.memory_limit)
    _check_mounts(name, task)
    if task.scratch and is_small(name):
        raise ConfigError(
            f"Expected no scratch for {name}, which makes no temporary files. Received: "
            f"{task.scratch.size}. Set it under all_tasks, which leaves small tasks out, or for "
            "others."
        )


def _check_limit(name: str, resource: str, requested: str | None, limit: str | None) -> None:
    if requested and limit and quantity(limit) < quantity(requested):
        raise ConfigError(
            f"Expected the {resource}_limit of {name} to be at least {resource}, {requested} "
            f"unless given. Received: {limit}. Lower its {resource} as well, or raise the limit."
        )


def _check_mounts(name: str, task: TaskConfig) -> None:
    at: dict[str, str] = dict.fromkeys(_TAKEN, "the back end's own folder")
    volumes: dict[str, str] = {}
    for kind, volume, path in _mounts(task):
        what = f"{kind} '{volume}'"
        if folder(path) in at:
            raise ConfigError(
                f"Expected one mount at a path of {name}. Received: {at[folder(path)]} and {what}, "
                f"both at {folder(path)}. Mount one of them elsewhere."
            )
        at[folder(path)] = what
        if volumes.setdefault(volume, kind) != kind:
            raise ConfigError(
                f"Expected mounts of {name} with different names, as the back end names the pod's "
                f"volumes after them. Received: {volumes[volume]} and {kind}, both '{volume}'. "
                "Rename one of them."
            )


def _mounts(task: TaskConfig) -> Iterator[tuple[str, str, str]]:
    """Yields kind, name and path of all that is mounted."""
    if task.shared_memory:
        yield "shared_memory", SHARED_MEMORY_VOLUME, SHARED_MEMORY
    if task.scratch:
        yield "scratch", SCRATCH_VOLUME, SCRATCH
    for kind, mounts in (
        ("Secret", task.secrets),
        ("ConfigMap", task.config_maps),
        ("claim", task.volumes),
    ):
        for mount in mounts:
            yield kind, mount.name, mount.path
