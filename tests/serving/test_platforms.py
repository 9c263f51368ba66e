"""What the servers themselves read in the manifests for TensorFlow Serving and KServe.

That the manifests are of the API and fit together: tests/kubeflow/test_manifests.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,  # noqa: F401  # makes its types known
)
from tensorflow_serving.config import model_server_config_pb2

FOLDER = Path(__file__).parents[2] / "docs" / "kubernetes"
PAGE = FOLDER.parent / "serving-platforms.md"
FILES = ("tensorflow-serving.yaml", "kserve.yaml", "kserve-own-server.yaml")
Manifest = dict[str, Any]


def _manifests(name: str) -> list[Manifest]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def _named(name: str, kind: str) -> Manifest:
    (found,) = (each for each in _manifests(name) if each["kind"] == kind)
    return found


def _pods(manifest: Manifest) -> Iterator[Manifest]:
    if manifest["kind"] == "Deployment":
        yield manifest["spec"]["template"]["spec"]
    if manifest["kind"] == "InferenceService":
        yield manifest["spec"]["predictor"]


def _containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("containers", []), *([pod["model"]] if "model" in pod else [])]


def test_the_service_selects_the_pods_and_their_ports() -> None:
    deployment, service = (
        _named("tensorflow-serving.yaml", kind)["spec"] for kind in ("Deployment", "Service")
    )
    labels = deployment["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    (container,) = deployment["template"]["spec"]["containers"]
    ports = {each["name"] for each in container["ports"]}
    assert {each["targetPort"] for each in service["ports"]} == ports


def test_images_are_pinned_and_can_load_the_models() -> None:
    (container,) = _containers(*_pods(_named("tensorflow-serving.yaml", "Deployment")))
    image, _, tag = container["image"].partition(":")
    (runtime,) = (
        container["runtimeVersion"]
        for manifest in _manifests("kserve.yaml")
        for pod in _pods(manifest)
        for container in _containers(pod)
        if "runtimeVersion" in container
    )
    assert image == "tensorflow/serving"
    for version in (tag, runtime):
        assert tuple(map(int, version.split("."))) >= (2, 16, 0)


def test_the_servers_configuration_parses_and_labels_versions_that_are_loaded() -> None:
    files = _named("tensorflow-serving.yaml", "ConfigMap")["data"]
    text = files["models.config"]
    server = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = server.model_config_list.config
    assert (model.name, model.model_platform) == ("covers", "tensorflow")
    assert set(model.version_labels) == {"stable", "canary"}
    loaded = model.model_version_policy.specific.versions
    assert set(model.version_labels.values()) <= set(loaded)

    (container,) = _containers(*_pods(_named("tensorflow-serving.yaml", "Deployment")))
    options = dict(each.removeprefix("--").split("=", 1) for each in container["args"])
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert model.base_path == mounts["models"]
    for option in ("model_config_file", "batching_parameters_file"):
        folder, _, file = options[option].rpartition("/")
        assert folder == mounts["config"]
        assert file in files
    for probe in ("startupProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        assert path == f"/v1/models/{model.name}/labels/stable/metadata"


def test_the_batching_parameters_parse() -> None:
    text = _named("tensorflow-serving.yaml", "ConfigMap")["data"]["batching.config"]
    parameters = text_format.Parse(text, _batching_parameters()())
    assert parameters.max_batch_size.value == 32
    assert parameters.batch_timeout_micros.value == 5000
    with pytest.raises(text_format.ParseError):
        text_format.Parse("max_batch_sizes { value: 32 }", _batching_parameters()())


def _batching_parameters() -> Any:
    """BatchingParameters of session_bundle_config.proto, which the Python package leaves out."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto",
        package="covers.test",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    for number, (name, kind) in enumerate(
        {
            "max_batch_size": "Int64Value",
            "batch_timeout_micros": "Int64Value",
            "max_enqueued_batches": "Int64Value",
            "num_batch_threads": "Int64Value",
            "thread_pool_name": "StringValue",
        }.items(),
        start=1,
    ):
        message.field.add(
            name=name,
            number=number,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=f".google.protobuf.{kind}",
        )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName("covers.test.BatchingParameters")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def test_the_page_names_every_manifest_and_every_placeholder() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in FILES:
        assert f"kubernetes/{name}" in page
    for placeholder in ("registry.example.com/covers", "covers-kserve-s3", "covers-s3"):
        assert placeholder in page
