"""What manifests and compiled packages refer to by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

Document = Mapping[str, Any]

_KEY_REFERENCES = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}


class Reference(NamedTuple):
    """A name, and the key of it that is read; no key for the object itself."""

    kind: str
    name: str
    key: str = ""


def pods(manifest: Document) -> list[Document]:
    """Returns the specifications of the pods that a manifest makes."""
    spec = manifest.get("spec", {})
    return {
        "CronJob": lambda: [spec["jobTemplate"]["spec"]["template"]["spec"]],
        "Deployment": lambda: [spec["template"]["spec"]],
        "Pod": lambda: [spec],
        "InferenceService": lambda: [spec["predictor"]],
    }.get(manifest["kind"], list)()


def containers(pod: Document) -> list[Document]:
    """Returns the containers of a pod; a `model` of KServe is one as well."""
    return [
        *pod.get("initContainers", ()),
        *pod.get("containers", ()),
        *([pod["model"]] if "model" in pod else ()),
    ]


def references(manifest: Document) -> Iterator[Reference]:
    """Yields what a manifest refers to."""
    for pod in pods(manifest):
        yield from _of_pod(pod)
    if manifest["kind"] == "ServiceAccount":
        for each in (*manifest.get("secrets", ()), *manifest.get("imagePullSecrets", ())):
            yield Reference("Secret", each["name"])
    if manifest["kind"] == "RoleBinding":
        yield Reference(manifest["roleRef"]["kind"], manifest["roleRef"]["name"])
        for subject in manifest["subjects"]:
            yield Reference(subject["kind"], subject["name"])
    if (manifest["kind"], manifest["metadata"]["name"]) == ("ConfigMap", "kfp-launcher"):
        for provider in yaml.safe_load(manifest["data"]["providers"]).values():
            secret = provider["default"]["credentials"].get("secretRef")
            if secret:
                for key in ("accessKeyKey", "secretKeyKey"):
                    yield Reference("Secret", secret["secretName"], secret[key])


def _of_pod(pod: Document) -> Iterator[Reference]:
    if "serviceAccountName" in pod:
        yield Reference("ServiceAccount", pod["serviceAccountName"])
    for each in pod.get("imagePullSecrets", ()):
        yield Reference("Secret", each["name"])
    for volume in pod.get("volumes", ()):
        if "configMap" in volume:
            yield Reference("ConfigMap", volume["configMap"]["name"])
        if "secret" in volume:
            yield Reference("Secret", volume["secret"]["secretName"])
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            yield Reference("PersistentVolumeClaim", claim)
    for container in containers(pod):
        for variable in container.get("env", ()):
            for source, reference in variable.get("valueFrom", {}).items():
                if source in _KEY_REFERENCES:
                    yield Reference(_KEY_REFERENCES[source], reference["name"], reference["key"])
        for source in container.get("envFrom", ()):
            for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                if field in source:
                    yield Reference(kind, source[field]["name"])


def references_of_package(platform_spec: Document) -> Iterator[Reference]:
    """Yields what the tasks of a compiled package refer to."""
    deployment = platform_spec["platforms"]["kubernetes"]["deploymentSpec"]
    for executor in deployment["executors"].values():
        for each in executor.get("imagePullSecret", ()):
            yield Reference("Secret", each["secretName"])
        for kind, field in (("Secret", "secret"), ("ConfigMap", "configMap")):
            for each in executor.get(f"{field}AsEnv", ()):
                for pair in each["keyToEnv"]:
                    yield Reference(kind, each[f"{field}Name"], pair[f"{field}Key"])
            for each in executor.get(f"{field}AsVolume", ()):
                yield Reference(kind, each[f"{field}Name"])
        for each in executor.get("pvcMount", ()):
            yield Reference("PersistentVolumeClaim", each["constant"])


def images_of_package(spec: Document) -> set[str]:
    """Returns the images of a compiled package's tasks."""
    executors = spec["deploymentSpec"]["executors"].values()
    return {each["container"]["image"] for each in executors if "container" in each}
