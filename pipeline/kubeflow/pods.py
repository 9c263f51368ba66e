"""Options of a task's pod, and the fields of the package that they are written to.

Fields are those of KubernetesExecutorConfig (kubeflow/pipelines, kubernetes_executor_config.proto)
that the driver of the back end reads. `enabled_shared_memory` is not among them: shared memory is a
volume in memory.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from components.support.options import Options
from pipeline.kubeflow.kubernetes_values import AnnotationKey, LabelKey, LabelValue, ObjectName
from pipeline.kubeflow.quantities import Duration, Quantity, seconds

SHARED_MEMORY = "/dev/shm"
SHARED_MEMORY_VOLUME = "shared-memory"
SCRATCH = "/scratch"
SCRATCH_VOLUME = "scratch"

_LARGEST_ID = 2**31 - 1

_ELSEWHERE = {
    "service_account": "it is chosen for a whole run: covers submit --service-account",
    "active_deadline": "a task has a timeout; the deadline of a run is kubeflow.active_deadline",
    "workspace": "the back end makes another for each run, and takes no task that mounts one from "
    "the cache; scratch makes a volume for a pod, volumes mounts a claim of your own",
}
_NO_FIELD = (
    "priority_class", "runtime_class", "scheduler", "host_network", "host_ipc", "dns_policy",
    "capabilities", "privileged", "allow_privilege_escalation", "read_only_root_filesystem",
    "fs_group", "seccomp_profile", "supplemental_groups", "topology_spread_constraints",
    "termination_grace_period",
)  # fmt: skip


class KubernetesOptions(Options):
    """Options of Kubernetes, whose texts may be given as numbers."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_the_format_lacks(cls, values: Any) -> Any:
        for name in values if isinstance(values, dict) else ():
            if name in _ELSEWHERE and name not in cls.model_fields:
                raise ValueError(f"Expected no {name} here: {_ELSEWHERE[name]}. Received: {name}")
            if name in _NO_FIELD:
                raise ValueError(
                    "Expected an option for which packages of Kubeflow Pipelines have a field. "
                    f"Received: {name}, which a package cannot set. Set it for all pods of the "
                    "namespace, by an admission policy or in the installation"
                )
        return values


class Requirement(KubernetesOptions):
    """What a label of the node must be, as in a node affinity."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "In"
    values: tuple[LabelValue, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> Requirement:
        if (self.operator in ("Exists", "DoesNotExist")) == bool(self.values):
            raise ValueError(
                "Expected values with In, NotIn, Gt and Lt, and none with Exists and DoesNotExist. "
                f"Received: {self.operator} with {', '.join(self.values) or 'none'}"
            )
        if self.operator in ("Gt", "Lt") and not (
            len(self.values) == 1 and self.values[0].isdecimal()
        ):
            raise ValueError(
                f"Expected one whole number with {self.operator}. "
                f"Received: {', '.join(self.values)}"
            )
        return self


class NodeAffinity(KubernetesOptions):
    """Nodes that a pod needs or, with a weight, prefers; all requirements must hold.

    Attributes:
        labels: requirements on the node's labels.
        weight: 1 to 100: the nodes are preferred, not needed.
    """

    labels: tuple[Requirement, ...]
    weight: int | None = Field(default=None, ge=1, le=100)

    @field_validator("labels")
    @classmethod
    def _not_empty(cls, labels: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
        # min_length of a field would count the valid ones, and say so of a wrong one.
        if not labels:
            raise ValueError("Expected at least 1 item")
        return labels


class SecurityContext(KubernetesOptions):
    """As whom a container runs. The back end drops its capabilities in any case."""

    run_as_user: int | None = Field(default=None, ge=0, le=_LARGEST_ID)
    run_as_group: int | None = Field(default=None, ge=0, le=_LARGEST_ID)
    run_as_non_root: bool | None = None

    @model_validator(mode="after")
    def _is_not_both(self) -> SecurityContext:
        if self.run_as_user == 0 and self.run_as_non_root:
            raise ValueError(
                "Expected another user than root with run_as_non_root. Received: run_as_user 0"
            )
        return self


class Scratch(KubernetesOptions):
    """A volume for temporary files, which Kubernetes makes with a pod and deletes with it.

    Attributes:
        size: of the volume.
        storage_class: what it is made of, unless the cluster's default.
    """

    size: Quantity
    storage_class: ObjectName | None = None


class PodOptions(KubernetesOptions):
    """Options of a task's pod.

    Attributes:
        labels: labels of the pod.
        annotations: annotations of the pod.
        node_affinity: nodes that it needs or prefers.
        shared_memory: size of /dev/shm; counts as memory of the container.
        scratch: a volume for temporary files, instead of the node's own disk.
        security_context: as whom it runs.
        timeout: longest time that one attempt may take; its pod is then killed.
    """

    labels: dict[LabelKey, LabelValue] = Field(default={})
    annotations: dict[AnnotationKey, str] = Field(default={})
    node_affinity: tuple[NodeAffinity, ...] = ()
    shared_memory: Quantity | None = None
    scratch: Scratch | None = None
    security_context: SecurityContext | None = None
    timeout: Duration | None = None


def pod_config(task: PodOptions) -> dict[str, Any]:
    """Returns the fields of a KubernetesExecutorConfig; those without a value are empty."""
    metadata = {"labels": task.labels, "annotations": task.annotations}
    context = task.security_context or SecurityContext()
    return {
        "podMetadata": {key: value for key, value in metadata.items() if value},
        "nodeAffinity": [_affinity(one) for one in task.node_affinity],
        "emptyDirMounts": [
            {
                "volumeName": SHARED_MEMORY_VOLUME,
                "mountPath": SHARED_MEMORY,
                "medium": "Memory",
                "sizeLimit": size,
            }
            for size in [task.shared_memory]
            if size
        ],
        "genericEphemeralVolume": [_volume(task.scratch)] if task.scratch else [],
        "securityContext": {
            key: value
            for key, value in {
                "runAsUser": context.run_as_user,
                "runAsGroup": context.run_as_group,
                "runAsNonRoot": context.run_as_non_root,
            }.items()
            if value is not None
        },
        "activeDeadlineSeconds": task.timeout and seconds(task.timeout),
    }


def _volume(scratch: Scratch) -> dict[str, Any]:
    default = scratch.storage_class is None
    return {
        "volumeName": SCRATCH_VOLUME,
        "mountPath": SCRATCH,
        "accessModes": ["ReadWriteOnce"],
        "size": scratch.size,
        **(
            {"defaultStorageClass": True}
            if default
            else {"storageClassName": scratch.storage_class}
        ),
    }


def _affinity(term: NodeAffinity) -> dict[str, Any]:
    expressions = [
        {
            "key": one.key,
            "operator": one.operator,
            **({"values": list(one.values)} if one.values else {}),
        }
        for one in term.labels
    ]
    weight = {} if term.weight is None else {"weight": term.weight}
    return {"matchExpressions": expressions, **weight}
