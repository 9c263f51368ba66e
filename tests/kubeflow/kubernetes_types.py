"""Checks manifests against the Kubernetes API, strictly: unknown fields and wrong types are found.

The types are those of the `kubernetes` client, which is generated from the API's specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes import client

_API_TYPES = {
    ("v1", "ConfigMap"): "V1ConfigMap",
    ("v1", "PersistentVolumeClaim"): "V1PersistentVolumeClaim",
    ("v1", "Pod"): "V1Pod",
    ("v1", "Service"): "V1Service",
    ("v1", "ServiceAccount"): "V1ServiceAccount",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
    ("batch/v1", "CronJob"): "V1CronJob",
    ("rbac.authorization.k8s.io/v1", "Role"): "V1Role",
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): "V1RoleBinding",
}
# Called otherwise by later releases of the client.
_SUBJECT = "V1Subject" if hasattr(client, "V1Subject") else "RbacV1Subject"
_PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def faults(manifest: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with a manifest, each with its place."""
    kind = (manifest["apiVersion"], manifest["kind"])
    if kind == ("serving.kserve.io/v1beta1", "InferenceService"):
        return [*_inference_service(manifest)]
    if kind == ("kubeflow.org/v1", "Profile"):
        return [*_profile(manifest)]
    return [*_check(manifest, _API_TYPES[kind], manifest["kind"])]


def _check(value: Any, type_name: str, place: str) -> Iterator[str]:
    if listed := re.fullmatch(r"list\[(.*)\]", type_name):
        if not isinstance(value, list):
            yield f"{place}: no list"
            return
        for number, each in enumerate(value):
            yield from _check(each, listed[1], f"{place}[{number}]")
    elif mapped := re.fullmatch(r"dict\(str, (.*)\)", type_name):
        if not isinstance(value, dict):
            yield f"{place}: no mapping"
            return
        for name, each in value.items():
            # Quantities and intervals of bytes are texts or numbers in the API.
            yield from _check(each, mapped[1], f"{place}.{name}")
    elif type_name in _PLAIN:
        is_bool = isinstance(value, bool)
        if not isinstance(value, _PLAIN[type_name]) or (is_bool and type_name != "bool"):
            yield f"{place}: {value!r} is no {type_name}"
    elif type_name != "object":
        yield from _fields(value, getattr(client, type_name), place, {})


def _fields(value: Any, model: Any, place: str, more: Mapping[str, str]) -> Iterator[str]:
    """Checks the fields of an object; `more` adds fields to those of the type: name -> type."""
    if not isinstance(value, dict):
        yield f"{place}: no mapping"
        return
    types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    types |= more
    for name, each in value.items():
        if name not in types:
            yield f"{place}.{name}: unknown"
        else:
            yield from _check(each, types[name], f"{place}.{name}")
    if not more:
        given = {name: value.get(field) for name, field in model.attribute_map.items()}
        try:
            model(**{name: each for name, each in given.items() if each is not None})
        except ValueError as error:  # a required field is missing
            yield f"{place}: {error}"


def _inference_service(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The fields of KServe that the manifests use, and all of Kubernetes' pods and containers."""
    yield from _check(manifest["metadata"], "V1ObjectMeta", "InferenceService.metadata")
    place, predictor = "InferenceService.spec.predictor", dict(manifest["spec"]["predictor"])
    if set(manifest) != {"apiVersion", "kind", "metadata", "spec"}:
        yield f"InferenceService: {sorted(manifest)}"
    if set(manifest["spec"]) != {"predictor"}:
        yield f"InferenceService.spec: {sorted(manifest['spec'])}"
    model = predictor.pop("model", None)
    if (model is None) == ("containers" not in predictor):
        yield f"{place}: neither or both of model and containers"
    more = {
        **dict.fromkeys(("minReplicas", "maxReplicas", "canaryTrafficPercent"), "int"),
        "deploymentStrategy": "V1DeploymentStrategy",
    }
    yield from _fields(predictor, client.V1PodSpec, place, more)
    if model is not None:
        texts = ("protocolVersion", "runtime", "runtimeVersion", "storageUri")
        more = {**dict.fromkeys(texts, "str"), "modelFormat": "dict(str, str)"}
        yield from _fields(model, client.V1Container, f"{place}.model", more)


def _profile(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The fields of Kubeflow's profile controller, and all of Kubernetes' quotas."""
    yield from _check(manifest["metadata"], "V1ObjectMeta", "Profile.metadata")
    spec = manifest["spec"]
    if unknown := set(spec) - {"owner", "plugins", "resourceQuotaSpec"}:
        yield f"Profile.spec: {sorted(unknown)}"
    yield from _check(spec["owner"], _SUBJECT, "Profile.spec.owner")
    yield from _check(spec["resourceQuotaSpec"], "V1ResourceQuotaSpec", "Profile.spec.quota")
    fields = {
        "AwsIamForServiceAccount": {"awsIamRole": str, "annotateOnly": bool},
        "WorkloadIdentity": {"gcpServiceAccount": str},
    }
    for plugin in spec["plugins"]:
        types = fields[plugin["kind"]]
        for name, value in plugin["spec"].items():
            if not isinstance(value, types.get(name, ())):
                yield f"Profile.spec.plugins.{plugin['kind']}.{name}: {value!r}"
