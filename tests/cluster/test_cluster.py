"""The stand-ins that surround the real driver and launcher: what they answer, and what a pod is."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from driven import TaskRun
from live import cluster_objects
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from pods import LAUNCHER, Node, expand
from services import HOST, NAMESPACE, Cache, grpc_services, kubernetes_api

ENDPOINT = "http://127.0.0.1:9000"


def test_ml_metadata_answers_and_refuses_as_the_library_does(tmp_path: Path) -> None:
    with grpc_services(tmp_path) as port:
        store = MetadataStore(metadata_store_pb2.MetadataStoreClientConfig(host=HOST, port=port))
        kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="covers.Thing"))
        (identity,) = store.put_artifacts([metadata_store_pb2.Artifact(type_id=kind, uri="s3://b")])
        assert store.get_artifacts_by_id([identity])[0].uri == "s3://b"
        with pytest.raises(Exception, match="No type found"):
            store.get_artifact_type("covers.Other")


def test_the_cache_gives_the_newest_of_what_is_asked_for(tmp_path: Path) -> None:
    messages = Cache()._messages
    with grpc_services(tmp_path) as port, grpc.insecure_channel(f"{HOST}:{port}") as channel:
        create = channel.unary_unary("/api.TaskService/CreateTaskV1")
        find = channel.unary_unary("/api.TaskService/ListTasksV1")
        for execution, fingerprint in (("1", "a"), ("2", "b"), ("3", "a")):
            task = {"mlmdExecutionID": execution, "fingerprint": fingerprint}
            create(messages["CreateTaskRequest"](task=task).SerializeToString())
        found = {}
        for fingerprint in "abc":
            predicates = [{"op": "EQUALS", "key": "fingerprint", "stringValue": fingerprint}]
            asked = messages["ListTasksRequest"](
                page_size=1, filter=json.dumps({"predicates": predicates})
            )
            answer = messages["ListTasksResponse"].FromString(find(asked.SerializeToString()))
            found[fingerprint] = [task.mlmdExecutionID for task in answer.tasks]
    assert found == {"a": ["3"], "b": ["2"], "c": []}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/api/v1/namespaces/{NAMESPACE}/secrets/covers-s3", 200),
        (f"/api/v1/namespaces/{NAMESPACE}/secrets/other", 404),
        ("/api/v1/namespaces/other/secrets/covers-s3", 404),
    ],
)
def test_kubernetes_gives_what_there_is_to_who_trusts_its_certificate(
    tmp_path: Path, path: str, code: int
) -> None:
    account = tmp_path / "account"
    with kubernetes_api(cluster_objects(ENDPOINT), account) as port:
        trust = ssl.create_default_context(cafile=str(account / "ca.crt"))
        try:
            answer = urllib.request.urlopen(f"https://{HOST}:{port}{path}", context=trust)
        except urllib.error.HTTPError as error:
            answer = error
        body = json.load(answer)
    assert answer.status == code
    if code == 200:
        assert base64.b64decode(body["data"]["accesskey"]) == b"test"
    else:
        assert (body["kind"], body["reason"]) == ("Status", "NotFound")


def test_the_objects_are_those_of_the_manifests_with_this_store() -> None:
    objects = cluster_objects(ENDPOINT)
    assert "endpoint: 127.0.0.1:9000" in objects["configmaps", "kfp-launcher"]["data"]["providers"]
    assert objects["configmaps", "covers-s3"]["data"]["endpoint"] == ENDPOINT


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("$(NAME)", "pod"), ("a-$(NAME)-b", "a-pod-b"), ("$(OTHER)", "$(OTHER)"),
        ("$$(NAME)", "$(NAME)"), ("{{$.inputs}}", "{{$.inputs}}"), ("$NAME", "$NAME"),
    ],
)  # fmt: skip
def test_words_of_a_command_are_expanded_as_kubernetes_does(word: str, expanded: str) -> None:
    assert expand(word, {"NAME": "pod"}) == expanded


def test_the_reason_is_what_the_launcher_says_last() -> None:
    last = "F0101 00:00:00.000000       7 main.go:56] failed to execute component: exit status 3"
    assert TaskRun("failed", f"refused\n{last}\n").reason() == "exit status 3"
    assert TaskRun("cached").reason() == ""


def _can_enter() -> bool:
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "true"]
    return subprocess.run(unshare, capture_output=True).returncode == 0


@pytest.mark.skipif(not _can_enter(), reason="Mount namespaces are not allowed here.")
def test_a_pod_has_folders_of_its_own_and_the_patchs_command_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("pods", "programs", "account"):
        (tmp_path / folder).mkdir()
    for name in ("driver", "launcher-v2"):
        program = tmp_path / "programs" / name
        program.write_text('#!/bin/sh\necho "$@" "$KEY" "$URL" "$OURS"; ls /minio /s3; exec "$@"\n')
        program.chmod(0o755)
    (tmp_path / "account" / "namespace").write_text(NAMESPACE)
    node = Node(
        tmp_path / "pods", tmp_path / "programs", tmp_path / "account", 1, cluster_objects(ENDPOINT)
    )
    references = [
        {
            "name": "KEY",
            "valueFrom": {"secretKeyRef": {"name": "covers-s3", "key": "secretkey"}},
        },
        {
            "name": "URL",
            "valueFrom": {"configMapKeyRef": {"name": "covers-s3", "key": "endpoint"}},
        },
    ]
    write = "echo kept > /s3/file; cat /run/secrets/kubernetes.io/serviceaccount/namespace; exit 3"
    patch = {
        "containers": [
            {"name": "main", "command": [LAUNCHER], "args": ["sh", "-c", write], "env": references}
        ]
    }
    monkeypatch.setenv("OURS", "not the pod's")
    code, log, root = node.run_patched("a-pod", patch)
    assert code == 3
    assert log.splitlines()[0].endswith(f"exit 3 test {ENDPOINT} ")
    assert log.endswith(NAMESPACE)
    assert (root / "s3" / "file").read_text() == "kept\n"
    assert not Path("/s3/file").exists()
