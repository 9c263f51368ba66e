"""The compiled pipeline on the driver and the launcher of Kubeflow Pipelines, covers to model.

    make test-cluster KFP_BIN=FOLDER        with the programs `driver` and `launcher-v2`

A run pushes a model, the same again takes what it can from the cache and pushes nothing, and
refused data and a refused model end in the tasks that say so. The object store is an S3 on this
machine; the ConfigMaps, the Secret and the tasks' environment are those of docs/kubernetes.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import yaml
from driven import Cluster, TaskRun
from pods import ROOT, Node
from services import HOST, Objects, config_map, grpc_services, kubernetes_api, secret

from components.contracts.label_schema import LabelSchema
from components.contracts.pushed_models import pushed_versions
from components.support.quiet import third_parties_quiet
from pipeline.commands.sample import write_sample
from pipeline.config import load_config, read_mapping
from pipeline.kubeflow.compile import Package, compile_pipeline

Json = dict[str, Any]
Runs = dict[str, TaskRun]

PROGRAMS = ("driver", "launcher-v2")
MANIFESTS = ROOT / "docs" / "kubernetes"
CONFIG = ROOT / "tests" / "containers" / "tiny.yaml"
BUCKET = "covers"
DATA = f"s3://{BUCKET}/album_covers"
SERVING = f"s3://{BUCKET}/serving"
COVERS = 160
CACHED = {"LabelSchemaGen", "CoverExampleGen", "StatisticsGen", "ExampleValidator", "DataGate"}
KEYS = {"accesskey": "test", "secretkey": "test"}


def main(programs: Path) -> None:
    """Runs everything; raises at the first thing that is not as it should be."""
    started = time.monotonic()
    for name in PROGRAMS:
        if not os.access(programs / name, os.X_OK):
            sys.exit(
                f"Expected {programs} to hold the programs {' and '.join(PROGRAMS)} of Kubeflow "
                f"Pipelines. Received: no {name}. See docs/kubeflow-live.md."
            )
    with contextlib.ExitStack() as stack:
        # Not below /tmp, which is every pod's own.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=ROOT / "build")))
        endpoint = stack.enter_context(object_store())
        fsspec.filesystem("s3").mkdir(BUCKET)
        objects = cluster_objects(endpoint)
        kubernetes = stack.enter_context(kubernetes_api(objects, folder / "service-account"))
        port = stack.enter_context(grpc_services(folder))
        (folder / "pods").mkdir()
        (folder / "programs").mkdir()
        for name in PROGRAMS:  # pods get hard links
            shutil.copy2(programs / name, folder / "programs" / name)
        node = Node(
            folder / "pods", folder / "programs", folder / "service-account", kubernetes, objects
        )
        run_everything(Cluster(node, port), folder)
    print(f"== {time.monotonic() - started:.0f} s in all")


def run_everything(cluster: Cluster, folder: Path) -> None:
    """Runs the package four times and compares what becomes of it."""
    covers = folder / "covers"
    genres = LabelSchema.from_file(ROOT / "schema" / "schema.pbtxt").genres
    write_sample(covers, genres=genres, images=COVERS, seed=3)
    lines = (covers / "labels.csv").read_text().splitlines()
    lines[10::10] = [f"{line}|polka" for line in lines[10::10]]
    fsspec.filesystem("s3").put(f"{covers}/", f"{BUCKET}/album_covers/", recursive=True)
    (covers / "labels.csv").write_text("\n".join(lines) + "\n")
    fsspec.filesystem("s3").put(f"{covers}/", f"{BUCKET}/polka/", recursive=True)
    documents = compiled(folder / "pipeline.yaml")
    tasks = set(documents[0]["root"]["dag"]["tasks"])

    first = run("first run", cluster, documents)
    check(states(first) == dict.fromkeys(tasks, "succeeded"), first)
    (version,) = pushed_versions(SERVING)
    _, metadata = first["Pusher"].artifacts["pushed_model"]
    check(metadata["pushed"] == 1, first)
    check(metadata["pushed_destination"] == version.location, first)
    check_names(first, folder)

    again = run("the same again", cluster, documents)
    check({name for name, one in again.items() if one.state == "cached"} >= CACHED, again)
    check(not any(one.state == "failed" for one in again.values()), again)
    check(len(list(pushed_versions(SERVING))) == 1, again)

    refused = run("refused data", cluster, documents, data=f"s3://{BUCKET}/polka")
    check(refused["DataGate"].state == "succeeded", refused)
    check_refusal(refused, "DataGateStop", 3, "unknown_genre 16")
    check(
        {refused[name].state for name in ("Trainer", "Evaluator", "Pusher")} == {"omitted"}, refused
    )

    worse, training = demanding(documents)
    model = run("refused model", cluster, worse, training=training)
    check_refusal(model, "EvaluatorStop", 4, "roc_auc")
    check(model["InfraValidatorStop"].state == "succeeded", model)
    check(model["Pusher"].artifacts["pushed_model"][1]["pushed"] == 0, model)
    check(len(list(pushed_versions(SERVING))) == 1, model)


def run(title: str, cluster: Cluster, documents: list[Json], **parameters: str) -> Runs:
    """Runs the package and prints what became of it."""
    started = time.monotonic()
    runs = cluster.run(documents, parameters)
    counted = Counter(states(runs).values())
    summary = ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
    print(f"== {title}: {time.monotonic() - started:.0f} s, {summary}")
    for name, one in runs.items():
        print(f"   {name:20} {one.state:10} {one.seconds:5.1f} s  {one.reason()}", flush=True)
    return runs


def states(runs: Runs) -> dict[str, str]:
    """Returns task -> its state."""
    return {name: one.state for name, one in runs.items()}


def check(right: bool, runs: Runs) -> None:
    """Ends with the logs of what failed, unless it is right."""
    if right:
        return
    for name, one in runs.items():
        if one.state == "failed":
            print(f"== {name}\n{one.log}")
    raise AssertionError("not as expected: see above")


def check_names(runs: Runs, folder: Path) -> None:
    """Checks that ML Metadata names URIs, and logs by the attempt."""
    for one in runs.values():
        for key, (uri, metadata) in one.artifacts.items():
            check(uri.startswith(f"s3://{BUCKET}/artifacts/"), runs)
            check(uri.endswith("/executor-logs-0") == (key == "executor-logs"), runs)
            text = json.dumps(metadata, default=str)
            check(str(folder) not in text and "/s3/covers" not in text, runs)


def check_refusal(runs: Runs, task: str, command_code: int, reason: str) -> None:
    """Checks that a task failed for a reason, and how its pod says so."""
    stop = runs[task]
    named = f"exit status {command_code}"
    right = (stop.state, stop.exit_code, stop.reason()) == ("failed", 1, named)
    check(right and reason in stop.log, runs)


def compiled(file: Path) -> list[Json]:
    """Returns the documents of the package, as they are read from the file."""
    cluster = {
        **read_mapping(MANIFESTS / "cluster.yaml"),
        "data": DATA,
        "push_destination": SERVING,
    }
    package: Package = compile_pipeline(load_config(CONFIG, [f"kubeflow={json.dumps(cluster)}"]))
    package.write(file)
    return list(yaml.safe_load_all(file.read_text()))


def demanding(documents: list[Json]) -> tuple[list[Json], str]:
    """Returns the package with a threshold that no model holds, and options for another model."""
    worse = copy.deepcopy(documents)
    evaluator = worse[0]["root"]["dag"]["tasks"]["Evaluator"]["inputs"]["parameters"]["config"]
    config = json.loads(evaluator["runtimeValue"]["constant"])
    config["gate"]["min_support"] = 1
    config["gate"]["per_genre"]["roc_auc"]["at_least"] = 0.999
    evaluator["runtimeValue"]["constant"] = json.dumps(config)
    parameters = worse[0]["root"]["inputDefinitions"]["parameters"]
    training = json.loads(parameters["training"]["defaultValue"])
    training["config"]["seed"] = 7
    return worse, json.dumps(training)


@contextlib.contextmanager
def object_store() -> Iterator[str]:
    """Serves an S3; yields its endpoint, which is also set for this process."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://{HOST}:{port}"
    os.environ.update(
        AWS_ENDPOINT_URL_S3=endpoint,
        AWS_ACCESS_KEY_ID=KEYS["accesskey"],
        AWS_SECRET_ACCESS_KEY=KEYS["secretkey"],
        AWS_DEFAULT_REGION="us-east-1",
    )
    try:
        yield endpoint
    finally:
        server.stop()


def cluster_objects(endpoint: str) -> Objects:
    """Returns what step 2 of docs/kubeflow.md creates, for this object store."""
    launcher, store = (
        yaml.safe_load((MANIFESTS / name).read_text())["data"]
        for name in ("kfp-launcher.yaml", "object-store.yaml")
    )
    providers = yaml.safe_load(launcher["providers"])
    providers["s3"]["default"] |= {
        "endpoint": endpoint.removeprefix("http://"), "region": "us-east-1", "disableSSL": True,
    }  # fmt: skip
    store |= {"endpoint": endpoint, "region": "us-east-1"}
    return {
        ("configmaps", "kfp-launcher"): config_map(
            "kfp-launcher", {**launcher, "providers": yaml.safe_dump(providers)}
        ),
        ("configmaps", "covers-s3"): config_map("covers-s3", store),
        ("secrets", "covers-s3"): secret("covers-s3", KEYS),
    }


if __name__ == "__main__":
    (ROOT / "build").mkdir(exist_ok=True)
    with third_parties_quiet():
        main(Path(sys.argv[1]).resolve())
