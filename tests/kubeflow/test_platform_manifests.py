"""What the manifests for those who run a cluster do: their command lines, rules and rights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import yaml
from click.testing import CliRunner
from documented_commands import MANIFESTS
from references import containers, pods

from components.contracts.pushed_models import push_model, version_numbers
from components.contracts.saved_models import file_digests
from components.contracts.signatures import ModelDescription, write_model_description
from pipeline.cli import main

JOBS = ("models-prune.yaml", "drift.yaml")
_COVERS = "covers"
_PLACES = ("pipeline_root", "push_destination", "data")


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / name).read_text(encoding="utf-8")))


def _container(name: str) -> dict[str, Any]:
    (pod,) = (pod for each in _documents(name) for pod in pods(each))
    (container,) = containers(pod)
    return dict(container)


def _arguments(name: str) -> list[str]:
    container = _container(name)
    program, *command = container["command"]
    assert program == _COVERS
    return [*command, *container["args"]]


def _push(folder: Path, recipe: str, destination: str) -> int:
    for file in ("saved_model.pb", "variables/variables.index"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(recipe)
    described = ModelDescription(
        ("pop", "rock"), (0.5, 0.5), 48, recipe, {}, files=file_digests(folder)
    )
    write_model_description(folder, described)
    return push_model(folder, destination).version


def _make_bucket(destination: str) -> None:
    """Makes the bucket of a destination, with nothing at the destination."""
    import fsspec

    store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    bucket = urlparse(destination).netloc
    if not store.exists(bucket):
        store.mkdir(bucket)
    if store.exists(destination):
        store.rm(destination, recursive=True)


def test_the_pruning_job_keeps_ten_versions_of_the_destination_that_the_pipeline_pushes_to(
    s3: dict[str, str], tmp_path: Path
) -> None:
    arguments = _arguments("models-prune.yaml")
    destination = arguments[arguments.index("--destination") + 1]
    (cluster,) = _documents("cluster.yaml")
    assert destination == cluster["push_destination"]
    environment = {each["name"] for each in _container("models-prune.yaml")["env"]}
    assert environment == set(s3)

    _make_bucket(destination)
    versions = [_push(tmp_path / str(n), f"recipe {n}", destination) for n in range(12)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert version_numbers(destination) == set(versions[2:])


def test_the_drift_job_asks_for_the_model_that_is_served_and_its_run(
    s3: dict[str, str], tmp_path: Path
) -> None:
    arguments = _arguments("drift.yaml")
    given = dict(each.removeprefix("--").split("=", 1) for each in arguments[1:])
    (cluster,) = _documents("cluster.yaml")
    assert given["destination"] == cluster["push_destination"]
    assert given["artifacts"] == cluster["pipeline_root"]
    (mount,) = _container("drift.yaml")["volumeMounts"]
    assert {str(Path(given[option]).parent) for option in ("log", "output")} == {mount["mountPath"]}
    assert {each["name"] for each in _container("drift.yaml")["env"]} == set(s3)

    _make_bucket(given["destination"])
    _push(tmp_path / "model", "a recipe", given["destination"])
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    assert f"that made the model (recipe a recip) below {given['artifacts']}" in " ".join(
        result.output.split()
    )


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_and_leaves_no_pods_for_ever(name: str) -> None:
    (job,) = (each for each in _documents(name) if each["kind"] == "CronJob")
    template = job["spec"]["jobTemplate"]["spec"]
    assert template["activeDeadlineSeconds"] > 0
    assert template["ttlSecondsAfterFinished"] > 0
    assert template["template"]["spec"]["restartPolicy"] == "Never"


def test_the_rules_of_the_bucket_expire_artifacts_and_nothing_that_is_served_or_given(
    s3: dict[str, str],
) -> None:
    import boto3

    rules = json.loads((MANIFESTS / "artifacts-lifecycle.json").read_text(encoding="utf-8"))
    client = boto3.client("s3", endpoint_url=s3["AWS_ENDPOINT_URL_S3"])
    client.create_bucket(Bucket="rules")
    client.put_bucket_lifecycle_configuration(Bucket="rules", LifecycleConfiguration=rules)
    applied = client.get_bucket_lifecycle_configuration(Bucket="rules")["Rules"]
    assert [rule["ID"] for rule in applied] == [rule["ID"] for rule in rules["Rules"]]

    expiring = [rule["Filter"]["Prefix"] for rule in applied if "Expiration" in rule]
    (cluster,) = _documents("cluster.yaml")
    keys = {name: urlparse(cluster[name]).path.strip("/") + "/" for name in _PLACES}
    assert {name: any(keys[name].startswith(p) for p in expiring) for name in _PLACES} == {
        "pipeline_root": True, "push_destination": False, "data": False
    }  # fmt: skip
    assert all(rule["Filter"]["Prefix"] for rule in applied if "Expiration" in rule)


def test_the_tasks_may_read_what_they_need_by_name_and_change_nothing_else() -> None:
    documents = _documents("service-account.yaml")
    (role,) = (each for each in documents if each["kind"] == "Role")
    rights = {
        (resource, verb): rule.get("resourceNames")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert rights["secrets", "get"] == ["covers-s3"]
    assert rights["configmaps", "get"] == ["kfp-launcher"]
    changing = {resource for resource, verb in rights if verb not in ("get", "list", "watch")}
    assert changing == {"workflowtaskresults"}
    assert not any("*" in each for each in rights)
