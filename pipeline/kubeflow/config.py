"""What a user can set about Kubeflow Pipelines: `kubeflow` in the pipeline's YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from components.support.credentials import without_credentials
from components.support.options import Options

_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "m": 1e-3}
_BINARY_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z]*)")
_STORES = ("s3://", "gs://", "minio://")


def quantity(text: str) -> float:
    """Returns the number that a Kubernetes quantity such as `500m`, `2` or `4Gi` stands for.

    Raises:
        ValueError: it is not a quantity.
    """
    match = _QUANTITY.fullmatch(text)
    unit = {**_UNITS, **_BINARY_UNITS}.get(match[2]) if match else None
    if match is None or unit is None:
        raise ValueError(
            f"Expected a Kubernetes quantity, such as 500m, 2 or 4Gi. Received: {text}"
        )
    return float(match[1]) * unit


def merged(options: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options with the others: mappings are merged, all else is replaced."""
    both = ((name, options[name], others[name]) for name in options.keys() & others.keys())
    inner = {
        name: merged(ours, theirs)
        for name, ours, theirs in both
        if isinstance(ours, dict) and isinstance(theirs, dict)
    }
    return {**options, **others, **inner}


def _check_quantity(text: str) -> str:
    quantity(text)
    return text


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


Quantity = Annotated[str, AfterValidator(_check_quantity)]
Location = Annotated[str, AfterValidator(without_credentials)]
PipelineRoot = Annotated[str, AfterValidator(check_pipeline_root)]


class _KubernetesOptions(Options):
    model_config = ConfigDict(coerce_numbers_to_str=True)


class Accelerator(_KubernetesOptions):
    """Accelerators of one task, such as `{type: nvidia.com/gpu, count: 1}`.

    A task that requests GPUs, or slices of one, ends at once unless TensorFlow sees them.
    """

    type: str = "nvidia.com/gpu"
    count: int = Field(default=1, ge=1)

    @property
    def is_gpu(self) -> bool:
        """Whether TensorFlow calls it a GPU."""
        return bool(re.search(r"/(gpu|mig-)", self.type))


class Toleration(_KubernetesOptions):
    """A toleration, as in a pod's specification."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    seconds: int | None = None


class KeysAsEnv(_KubernetesOptions):
    """Environment variables from the keys of a Secret or ConfigMap.

    Attributes:
        name: of the Secret or ConfigMap.
        keys: environment variable -> key.
    """

    name: str
    keys: dict[str, str] = Field(min_length=1)


class Mount(_KubernetesOptions):
    """A Secret, ConfigMap or PersistentVolumeClaim as a folder.

    Attributes:
        name: of the Secret, ConfigMap or claim.
        path: the folder in the container.
    """

    name: str
    path: str = Field(pattern="^/")


class TaskConfig(_KubernetesOptions):
    """Where a task runs, and with which resources. Quantities are Kubernetes': `500m`, `2`, `4Gi`.

    Attributes:
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

    cpu: Quantity | None = None
    cpu_limit: Quantity | None = None
    memory: Quantity | None = "3Gi"
    memory_limit: Quantity | None = None
    accelerator: Accelerator | None = None
    node_selector: dict[str, str] = Field(default={})
    tolerations: tuple[Toleration, ...] = ()
    env: dict[str, str] = Field(default={})
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


class KubeflowConfig(_KubernetesOptions):
    """Kubeflow Pipelines options.

    Attributes:
        image: the image of every task, with its registry and tag.
        image_pull_policy: of every task.
        image_pull_secrets: names of Secrets.
        data: default of the run's `data`: a URL, or a path on a mounted volume.
        push_destination: default of the run's `push_destination`, likewise.
        pipeline_root: default place for artifacts; if empty, the installation's own.
        all_tasks: where every task runs, and with which resources.
        tasks: node -> what is different for it.
    """

    SECTION = "kubeflow"

    image: str = ""
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    image_pull_secrets: tuple[str, ...] = ()
    data: Location | None = None
    push_destination: Location | None = None
    pipeline_root: PipelineRoot | None = None
    all_tasks: TaskConfig = TaskConfig()
    tasks: dict[str, TaskConfig] = Field(default={})

    def task(self, node: str) -> TaskConfig:
        """Returns what holds for one node."""
        return self.all_tasks.overridden_by(self.tasks.get(node, TaskConfig()))
