"""What a user can set about Kubeflow Pipelines: `kubeflow` in the pipeline's YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from components.support.credentials import without_credentials
from pipeline.kubeflow.kubernetes_values import (
    DataKey,
    EnvironmentName,
    Image,
    ImageOrNone,
    LabelKey,
    LabelValue,
    MountPath,
    ObjectName,
    ResourceName,
    VolumeName,
)
from pipeline.kubeflow.lifetimes import KeepWorkflow, Retries
from pipeline.kubeflow.pods import KubernetesOptions, PodOptions
from pipeline.kubeflow.quantities import Duration, Quantity
from pipeline.kubeflow.small_tasks import is_small

_STORES = ("s3://", "gs://", "minio://")
_REACHED_BY_TASKS = ("s3://", "gs://")  # minio:// is known to the launcher alone


def merged(options: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options with the others: mappings are merged, all else is replaced."""
    both = ((name, options[name], others[name]) for name in options.keys() & others.keys())
    inner = {
        name: merged(ours, theirs)
        for name, ours, theirs in both
        if isinstance(ours, dict) and isinstance(theirs, dict)
    }
    return {**options, **others, **inner}


def check_pipeline_root(root: str) -> str:
    """Returns the root.

    Raises:
        ValueError: the back end cannot use it.
    """
    without_credentials(root)
    if not root.startswith(_STORES):
        raise ValueError(
            f"Expected a pipeline root in an object store ({', '.join(_STORES)}): the back end "
            f"cannot stage artifacts from anywhere else. Received: {root}"
        )
    return root


def _check_state(location: str) -> str:
    without_credentials(location)
    if not location.startswith(_REACHED_BY_TASKS):
        raise ValueError(
            f"Expected a folder in an object store ({', '.join(_REACHED_BY_TASKS)}), which "
            f"outlives a task's pod. Received: {location}"
        )
    return location.rstrip("/")


Location = Annotated[str, AfterValidator(without_credentials)]
PipelineRoot = Annotated[str, AfterValidator(check_pipeline_root)]
State = Annotated[str, AfterValidator(_check_state)]


class Accelerator(KubernetesOptions):
    """Accelerators of one task, such as `{type: nvidia.com/gpu, count: 1}`.

    A task that requests GPUs, or slices of one, ends at once unless TensorFlow sees them.
    """

    type: ResourceName = "nvidia.com/gpu"
    count: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _slices_fit(self) -> Accelerator:
        if "/mig-" in self.type and self.count > 1:
            raise ValueError(
                "Expected count 1 of slices of a GPU, as CUDA shows a process no more than one. "
                f"Received: {self.count} of {self.type}. Take a larger slice"
            )
        return self

    @property
    def is_gpu(self) -> bool:
        """Whether TensorFlow calls it a GPU."""
        return bool(re.search(r"/(gpu|mig-)", self.type))


class Toleration(KubernetesOptions):
    """A toleration, as in a pod's specification."""

    key: LabelKey | None = None
    operator: Literal["Exists", "Equal"] = "Equal"
    value: LabelValue = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    seconds: int | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Toleration:
        if self.operator == "Exists" and self.value:
            raise ValueError(f"Expected no value with Exists. Received: {self.value}")
        if self.operator == "Equal" and not self.key:
            raise ValueError("Expected a key with Equal, or the operator Exists. Received: none")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError(
                "Expected seconds with the effect NoExecute alone. "
                f"Received: {self.effect or 'no effect'}"
            )
        return self


class KeysAsEnv(KubernetesOptions):
    """Environment variables from the keys of a Secret or ConfigMap.

    Attributes:
        name: of the Secret or ConfigMap.
        keys: environment variable -> key.
    """

    name: ObjectName
    keys: dict[EnvironmentName, DataKey] = Field(min_length=1)


class Mount(KubernetesOptions):
    """A Secret, ConfigMap or PersistentVolumeClaim as a folder.

    Attributes:
        name: of the Secret, ConfigMap or claim.
        path: the folder in the container.
    """

    name: VolumeName
    path: MountPath


class TaskConfig(PodOptions):
    """Where a task runs, and with which resources. Quantities are Kubernetes': `500m`, `2`, `4Gi`.

    Attributes:
        image: the task's own image instead of `kubeflow.image`.
        retries: when it is tried again, never by default.
        cpu: CPUs requested.
        cpu_limit: most CPUs.
        memory: memory requested; the default is what the largest task of a small run takes.
        memory_limit: most memory.
        accelerator: accelerators, none by default.
        node_selector: labels that the node must have.
        tolerations: taints that the pod accepts.
        env: environment variables. Never put a secret here: the compiled file shows it.
        secrets_as_env: environment variables from Secrets.
        config_maps_as_env: environment variables from ConfigMaps.
        secrets: Secrets mounted as folders.
        config_maps: ConfigMaps mounted as folders.
        volumes: PersistentVolumeClaims mounted as folders.
    """

    image: Image | None = None
    retries: Retries | None = None
    cpu: Quantity | None = None
    cpu_limit: Quantity | None = None
    memory: Quantity | None = "3Gi"
    memory_limit: Quantity | None = None
    accelerator: Accelerator | None = None
    node_selector: dict[LabelKey, LabelValue] = Field(default={})
    tolerations: tuple[Toleration, ...] = ()
    env: dict[EnvironmentName, str] = Field(default={})
    secrets_as_env: tuple[KeysAsEnv, ...] = ()
    config_maps_as_env: tuple[KeysAsEnv, ...] = ()
    secrets: tuple[Mount, ...] = ()
    config_maps: tuple[Mount, ...] = ()
    volumes: tuple[Mount, ...] = ()

    def overridden_by(self, other: TaskConfig) -> TaskConfig:
        """Returns this with what `other` sets: values are replaced, mappings and lists extended."""
        changes: dict[str, Any] = {}
        for name in other.model_fields_set:
            ours, theirs = getattr(self, name), getattr(other, name)
            if isinstance(ours, dict):
                changes[name] = {**ours, **theirs}
            elif isinstance(ours, tuple):
                changes[name] = (*ours, *theirs)
            else:
                changes[name] = theirs
        return self.model_copy(update=changes)


class KubeflowConfig(KubernetesOptions):
    """Kubeflow Pipelines options.

    Attributes:
        image: the image of every task, with its registry and tag.
        image_pull_policy: of every task.
        image_pull_secrets: names of Secrets.
        data: default of the run's `data`: a URL, or a path on a mounted volume.
        push_destination: default of the run's `push_destination`, likewise.
        pipeline_root: default place for artifacts; if empty, the installation's own.
        all_tasks: where every task runs, and with which resources.
        small_tasks: what is different for the tasks that need no TensorFlow.
        tasks: node -> what is different for it.
        active_deadline: longest time that a run may take.
        keep_workflow: how long a finished run's workflow stays on the cluster.
        state: where a task that is tried again finds what it left, a folder
            in an object store that the tasks can write to; unless given, the pipeline root.
    """

    SECTION = "kubeflow"

    image: ImageOrNone = ""
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    image_pull_secrets: tuple[ObjectName, ...] = ()
    data: Location | None = None
    push_destination: Location | None = None
    pipeline_root: PipelineRoot | None = None
    all_tasks: TaskConfig = TaskConfig()
    small_tasks: TaskConfig = TaskConfig()
    tasks: dict[str, TaskConfig] = Field(default={})
    active_deadline: Duration | None = None
    keep_workflow: KeepWorkflow | None = None
    state: State | None = None

    def task(self, node: str) -> TaskConfig:
        """Returns what holds for one node."""
        common = self.all_tasks
        if is_small(node):
            # They have no temporary files.
            common = common.model_copy(update={"scratch": None}).overridden_by(self.small_tasks)
        return common.overridden_by(self.tasks.get(node, TaskConfig()))
