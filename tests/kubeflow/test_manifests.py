"""docs/kubernetes and the commands around it: a reader who follows the pages misses nothing."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from documented_commands import (
    COPY,
    MANIFESTS,
    applied_files,
    built_images,
    commands_of,
    created_by_hand,
    documented_commands,
)
from kubernetes_types import faults
from make_targets import dry_run
from references import (
    Reference,
    containers,
    images_of_package,
    pods,
    references,
    references_of_package,
)

from pipeline.cli import main

Manifest = dict[str, Any]

ROOT = MANIFESTS.parents[1]
PROJECT_IMAGE = "registry.example.com/covers"
# What installations bring, by the names that the pages use.
INSTALLED = {("ServiceAccount", "default-editor")}


def _documents(file: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def _manifests() -> dict[str, list[Manifest]]:
    """Returns the files that describe Kubernetes objects; the others hold options of covers."""
    files = {file.name: _documents(file) for file in sorted(MANIFESTS.glob("*.yaml"))}
    return {name: found for name, found in files.items() if "apiVersion" in found[0]}


MANIFESTS_BY_FILE = _manifests()
OPTIONS = sorted(
    file.name for file in MANIFESTS.glob("*.yaml") if file.name not in MANIFESTS_BY_FILE
)


def _the(name: str, kind: str) -> Manifest:
    (found,) = (each for each in MANIFESTS_BY_FILE[name] if each["kind"] == kind)
    return found


def _existing() -> dict[tuple[str, str], set[str]]:
    """Returns all that the manifests and the documented commands make: (kind, name) -> keys."""
    made = {key: set[str]() for key in INSTALLED} | created_by_hand()
    for found in MANIFESTS_BY_FILE.values():
        for each in found:
            made[each["kind"], each["metadata"]["name"]] = set(each.get("data", ()))
    return made


def _missing(named: Iterable[Reference]) -> list[Reference]:
    existing = _existing()
    return [
        each
        for each in named
        if (each.kind, each.name) not in existing
        or (each.key and each.key not in existing[each.kind, each.name])
    ]


@pytest.mark.parametrize("name", MANIFESTS_BY_FILE)
def test_a_manifest_is_of_the_kubernetes_api(name: str) -> None:
    assert [fault for each in MANIFESTS_BY_FILE[name] for fault in faults(each)] == []


def test_a_field_that_the_api_does_not_know_and_a_wrong_type_are_found() -> None:
    deployment = _the("tensorflow-serving.yaml", "Deployment")
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["replica"] = 2
    container = wrong["spec"]["template"]["spec"]["containers"][0]
    container["ports"][0]["containerPort"] = "8500"
    del container["name"]
    place = "Deployment.spec.template.spec.containers[0]"
    found = "\n".join(faults(wrong))
    assert "Deployment.spec.replica: unknown" in found
    assert f"{place}.ports[0].containerPort: '8500' is no int" in found
    assert f"{place}: Invalid value for `name`" in found
    service = copy.deepcopy(_the("kserve.yaml", "ServiceAccount"))
    service["secrets"] = {"name": "covers-kserve-s3"}
    assert faults(service) == ["ServiceAccount.secrets: no list"]


@pytest.mark.parametrize(
    ("name", "kind", "place", "value", "found"),
    [
        ("profile.yaml", "Profile", ("spec", "quota"), {}, "Profile.spec: ['quota']"),
        ("profile.yaml", "Profile", ("spec", "owner", "kinds"), "User", "owner.kinds: unknown"),
        ("kserve.yaml", "InferenceService", ("spec", "predictor", "model", "uri"), "", "uri: unk"),
        ("models-prune.yaml", "CronJob", ("spec", "schedule"), 5, "schedule: 5 is no str"),
        ("service-account.yaml", "RoleBinding", ("roleRef", "names"), "", "names: unknown"),
    ],
)
def test_the_other_kinds_are_checked_as_strictly(
    name: str, kind: str, place: tuple[str, ...], value: object, found: str
) -> None:
    wrong = copy.deepcopy(_the(name, kind))
    target = wrong
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    assert any(found in fault for fault in faults(wrong)), faults(wrong)


@pytest.mark.parametrize("name", MANIFESTS_BY_FILE)
def test_what_a_manifest_names_exists(name: str) -> None:
    assert _missing(each for found in MANIFESTS_BY_FILE[name] for each in references(found)) == []


def test_a_name_or_a_key_that_does_not_exist_is_found() -> None:
    (service,) = MANIFESTS_BY_FILE["kserve-own-server.yaml"]
    wrong = copy.deepcopy(service)
    predictor = wrong["spec"]["predictor"]
    environment = predictor["containers"][0]["env"]
    environment[0]["valueFrom"]["secretKeyRef"]["key"] = "accessKey"
    environment[2]["valueFrom"]["configMapKeyRef"]["name"] = "covers"
    predictor["serviceAccountName"] = "nobody"
    assert _missing(references(wrong)) == [
        Reference("ServiceAccount", "nobody"),
        Reference("Secret", "covers-s3", "accessKey"),
        Reference("ConfigMap", "covers", "endpoint"),
    ]


@pytest.mark.parametrize("name", MANIFESTS_BY_FILE)
def test_what_a_pod_mounts_and_probes_is_its_own(name: str) -> None:
    for manifest in MANIFESTS_BY_FILE[name]:
        for pod in pods(manifest):
            volumes = {each["name"] for each in pod.get("volumes", ())}
            for container in containers(pod):
                assert {each["name"] for each in container.get("volumeMounts", ())} <= volumes
                ports = {
                    value
                    for each in container.get("ports", ())
                    for value in (each.get("name"), each["containerPort"])
                }
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    for check in ("httpGet", "tcpSocket"):
                        if check in container.get(probe, {}):
                            assert container[probe][check]["port"] in ports


def test_no_manifest_is_a_secret_that_could_be_applied_over_the_real_one() -> None:
    kinds = {each["kind"] for found in MANIFESTS_BY_FILE.values() for each in found}
    assert "Secret" not in kinds


def test_every_manifest_is_applied_by_a_documented_command_and_no_other_file_is() -> None:
    assert applied_files() == set(MANIFESTS_BY_FILE)


def test_the_readers_copy_is_made_before_it_is_used() -> None:
    page = (MANIFESTS.parent / "kubeflow.md").read_text(encoding="utf-8")
    copied = page.index(f"cp -r docs/kubernetes {COPY}")
    assert copied < page.index(f"{COPY}/object-store.yaml")


def test_the_images_are_those_that_the_pages_build_or_have_a_version() -> None:
    built = built_images()
    for found in MANIFESTS_BY_FILE.values():
        for manifest in found:
            for pod in pods(manifest):
                for image in (each["image"] for each in containers(pod) if "image" in each):
                    if image.startswith(PROJECT_IMAGE):
                        assert image in built
                    else:
                        assert re.search(r":\d+\.\d+(\.\d+)?$", image), image


@pytest.mark.parametrize("more", [[], *([name] for name in OPTIONS if name != "cluster.yaml")])
def test_what_the_tasks_of_the_compiled_package_need_exists(
    more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(MANIFESTS, tmp_path / COPY)
    monkeypatch.chdir(tmp_path)
    clusters = [f"--cluster={COPY}/{name}" for name in ("cluster.yaml", *more)]
    result = CliRunner().invoke(
        main, ["compile", "--config", "scratch", *clusters, "-o", "pipeline.yaml"]
    )
    assert result.exit_code == 0, result.output
    spec, platform = _documents(Path("pipeline.yaml"))
    named = list(references_of_package(platform))
    by_keys = more != ["workload-identity.yaml"]
    assert (Reference("ConfigMap", "covers-s3", "endpoint") in named) == by_keys
    assert (Reference("Secret", "covers-s3", "accesskey") in named) == by_keys
    assert _missing(named) == []
    assert images_of_package(spec) <= built_images()
    trainer = spec["deploymentSpec"]["executors"]["exec-Trainer"]["container"]
    on_gpu = more == ["gpu.yaml"]
    assert ("accelerator" in trainer["resources"]) == on_gpu
    assert trainer["image"].endswith("-cuda") == on_gpu
    assert trainer["resources"]["cpuRequest"] == 4


def _parses(arguments: list[str]) -> str:
    """Returns what `covers` has against these arguments, without doing anything."""
    command: click.Command = main
    # [VERSION] may be left out, and VERSION and N stand for a number.
    words = [re.sub(r"^(VERSION|N)$", "1", word) for word in arguments if word[0] != "["]
    try:
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        command.make_context(command.name, words)
    except click.UsageError as error:
        return error.format_message()
    except click.exceptions.Exit:
        return ""
    return ""


def test_the_documented_covers_commands_are_understood() -> None:
    commands = [words for words in commands_of("covers") if words]
    assert len(commands) > 20
    wrong = {" ".join(words): said for words in commands if (said := _parses(words))}
    assert wrong == {}
    assert _parses(["compile", "--clusters", "x", "-o", "p.yaml"]).startswith("No such option")


def test_the_pods_start_covers_with_arguments_that_it_knows() -> None:
    started = [
        [*container["command"][1:], *container["args"]]
        for found in MANIFESTS_BY_FILE.values()
        for manifest in found
        for pod in pods(manifest)
        for container in containers(pod)
        if container.get("command", [""])[0] == "covers"
    ]
    assert {words[0] for words in started} == {"serve", "models", "drift"}
    assert [said for words in started if (said := _parses(words))] == []


def test_commands_are_read_as_a_shell_does() -> None:
    page = 'Text:\n\n    kubectl create secret \\\n        --from-literal=a="$B"  # why\n\nIt\'s\n'
    assert [*documented_commands(page)] == [["kubectl", "create", "secret", "--from-literal=a=$B"]]


@pytest.mark.parametrize(
    ("given", "image"),
    [([], ""), (["IMAGE=mine:1"], "mine:1"), (["IMAGE=covers:latest"], "covers:latest")],
)
def test_make_compile_takes_the_image_of_the_cluster_unless_one_is_given(
    given: list[str], image: str
) -> None:
    *_, command = dry_run("compile", *given, f"ARGS=--cluster {COPY}/cluster.yaml")
    assert (re.findall(r"--image (\S+)", command) or [""]) == [image]
    assert f"--cluster {COPY}/cluster.yaml" in command
