"""The compiled pipeline on an emulation of the open-source back end, from covers to a model."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
import tensorflow as tf
from kfp_backend import Backend, Rejected, TaskRun
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KUBEFLOW_TFX_CMD

from components.contracts.pushed_models import PushedVersion, push_model, pushed_versions
from components.contracts.signatures import write_model_description
from components.support.file_systems import local_copy
from pipeline.commands.models.rollback import roll_back
from pipeline.commands.sample import write_sample
from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline

pytestmark = pytest.mark.slow

Spec = dict[str, Any]
Runs = dict[str, TaskRun]

PROJECT = Path(__file__).parents[2]
COVERS = 160
DATA = "s3://bucket/covers"
SERVING = "s3://bucket/serving"
SMALL_IMAGE = "covers-small-tasks:test"
CACHED = {"LabelSchemaGen", "CoverExampleGen", "StatisticsGen", "ExampleValidator", "DataGate"}
COMPARING = {"BaselineModel", "BatchInference", "Evaluator", "InfraValidator"}
LOOKING = {"DataFingerprint", "DataGateStop", "BaselineVersion"}
ENDING = {"Pusher", "ReportGen", "EvaluatorStop", "InfraValidatorStop"}


def _states(runs: Runs) -> dict[str, str]:
    for name, run in runs.items():
        if run.state == "failed":
            print(f"== {name}\n{run.log}")
    return {name: run.state for name, run in runs.items()}


def _executed(runs: Runs) -> set[str]:
    states = _states(runs)
    assert set(states.values()) <= {"succeeded", "cached"}
    return {name for name, state in states.items() if state == "succeeded"}


def _run(
    backend: Backend, spec: Spec, s3: dict[str, str], only: set[str] | None = None, **changes: Any
) -> Runs:
    parameters = {"data": DATA, "push_destination": SERVING, **changes}
    return backend.run(
        [spec],
        pipeline_root="minio://mlpipeline/v2/artifacts",
        parameters=parameters,
        env=s3,
        only=only,
    )


@pytest.fixture(scope="module")
def tiny_package(tiny_config: Path) -> Spec:
    """The package with an image of its own for the tasks that need no TensorFlow."""
    overrides = [f"kubeflow.small_tasks={{image: {SMALL_IMAGE}, memory: 256Mi}}"]
    return compile_pipeline(load_config(tiny_config, overrides)).documents[0]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory, small_programs: Path) -> Backend:
    return Backend(tmp_path_factory.mktemp("backend"), programs={SMALL_IMAGE: small_programs})


@pytest.fixture(scope="module")
def covers(tmp_path_factory: pytest.TempPathFactory, labels: Any) -> Path:
    return write_sample(
        tmp_path_factory.mktemp("data") / "covers", genres=labels.genres, images=COVERS, seed=3
    )


@pytest.fixture(scope="module")
def first(backend: Backend, tiny_package: Spec, s3: dict[str, str], covers: Path) -> Runs:
    fsspec.filesystem("s3").put(f"{covers}/", "bucket/covers/", recursive=True)
    return _run(backend, tiny_package, s3)


@pytest.fixture(scope="module")
def second(backend: Backend, first: Runs, tiny_package: Spec, s3: dict[str, str]) -> Runs:
    """Another model on the same data, with thresholds that it cannot hold."""
    spec = copy.deepcopy(tiny_package)
    evaluator = spec["root"]["dag"]["tasks"]["Evaluator"]["inputs"]["parameters"]["config"]
    config = json.loads(evaluator["runtimeValue"]["constant"])
    config["gate"]["min_support"] = 1
    config["gate"]["per_genre"]["roc_auc"]["at_least"] = 0.999
    evaluator["runtimeValue"]["constant"] = json.dumps(config)
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    training = json.loads(parameters["training"]["defaultValue"])
    training["config"]["seed"] = 7
    return _run(backend, spec, s3, training=json.dumps(training))


def test_a_first_run_pushes_a_model(
    first: Runs, backend: Backend, tiny_package: Spec, s3: dict[str, str]
) -> None:
    tasks = tiny_package["root"]["dag"]["tasks"]
    assert _states(first) == dict.fromkeys(tasks, "succeeded")
    pushed = first["Pusher"].artifacts["pushed_model"]["metadata"]
    assert pushed["pushed"] == 1
    (version,) = pushed_versions(SERVING)
    assert pushed["pushed_destination"] == version.location
    assert re.fullmatch(rf"{SERVING}/\d+", version.location)
    ingest = json.loads(
        (
            backend.stored(first["CoverExampleGen"].artifacts["quarantine"]["uri"]) / "summary.json"
        ).read_text()
    )
    assert ingest["rows_given"] == ingest["rows_ingested"] == COVERS
    assert ingest["source"] == "labels.csv"


def test_the_user_interface_compares_by_the_numbers_of_the_report(
    first: Runs, backend: Backend
) -> None:
    shown = first["ReportGen"].artifacts
    report = json.loads((backend.stored(shown["report"]["uri"]) / "report.json").read_text())
    overall = report["evaluation"]["overall"]
    assert shown["metrics"]["metadata"]["macro_roc_auc"] == overall["macro_roc_auc"]
    matrix = shown["all_genres"]["metadata"]["confusionMatrix"]["struct"]
    rows = [row["row"] for row in matrix["rows"]]
    assert rows == report["evaluation"]["confusion"]
    (curve,) = shown["genre_rock"]["metadata"]["confidenceMetrics"].values()
    assert len(curve) == len(report["genres"]["rock"]["thresholds"])


def test_the_pushed_model_answers(first: Runs, covers: Path, tmp_path: Path) -> None:
    (version,) = pushed_versions(SERVING)
    fsspec.filesystem("s3").get(f"{version.location}/", f"{tmp_path}/model/", recursive=True)
    model = tf.saved_model.load(str(tmp_path / "model"))
    image = next(covers.rglob("*.jpg")).read_bytes()
    served = model.signatures["serving_default"](image_bytes=tf.constant([image]))
    assert served["probabilities"].shape == (1, 5)


def test_nothing_names_a_staged_path(first: Runs, backend: Backend) -> None:
    for run in first.values():
        for artifact in run.artifacts.values():
            assert artifact["uri"].startswith("minio://")
            assert str(backend.root) not in json.dumps(artifact)


def test_no_report_or_page_names_a_path_of_the_pod_or_of_the_compiling_machine(
    first: Runs, second: Runs, backend: Backend
) -> None:
    places = (str(backend.root), str(PROJECT), tempfile.gettempdir())
    # Not within a longer path, a URL or the base64 of a picture.
    named = re.compile(rf"(?<![\w./+:-])(?:{'|'.join(map(re.escape, places))})\b")
    seen = set()
    for run in (*first.values(), *second.values()):
        for key, artifact in run.artifacts.items():
            if key.startswith("executor-logs"):
                continue
            stored = backend.stored(artifact["uri"])
            files = [stored] if stored.is_file() else sorted(stored.rglob("*"))
            for file in files:
                if file.name == "report.json" or file.suffix == ".html" or key.endswith("_page"):
                    text = file.read_bytes().decode("utf-8", "replace")
                    assert named.findall(text) == [], (key, file)
                    seen.add(file.name)
    assert {"report.json", "report.html"} <= seen


def test_a_report_says_what_to_do_from_where_its_reader_is(first: Runs, backend: Backend) -> None:
    folder = backend.stored(first["ReportGen"].artifacts["report"]["uri"])
    report = json.loads((folder / "report.json").read_text())
    uris = {key: artifact["uri"] for key, artifact in report["provenance"]["artifacts"].items()}
    assert uris["model"] == first["Trainer"].artifacts["model"]["uri"]
    assert all(uri.startswith("minio://") for uri in uris.values())
    assert report["provenance"]["command"] == f"covers submit pipeline.yaml -p data={DATA}"
    assert report["provenance"]["config"]["schema"] == "schema.pbtxt"
    (step,) = report["verdict"]["next_steps"]
    assert step == f"Try it: covers predict COVER.jpg --destination {SERVING}"


def test_a_first_run_has_no_baseline(first: Runs, backend: Backend) -> None:
    baseline = first["BaselineModel"].artifacts["model"]
    assert baseline["metadata"]["covers_absent"] == 1
    assert not backend.stored(baseline["uri"]).exists()


def test_a_second_run_takes_what_it_can_from_the_cache(second: Runs) -> None:
    states = _states(second)
    assert {name for name, state in states.items() if state == "cached"} == CACHED
    assert states["Trainer"] == states["BaselineModel"] == states["Evaluator"] == "succeeded"


def test_a_second_run_compares_with_the_pushed_model(second: Runs, backend: Backend) -> None:
    (version,) = pushed_versions(SERVING)
    baseline = second["BaselineModel"].artifacts["model"]
    assert baseline["metadata"]["pushed_version"] == str(version.version)
    assert list(backend.stored(baseline["uri"]).rglob("saved_model.pb"))
    blessing = second["Evaluator"].artifacts["blessing"]["metadata"]
    assert blessing["baseline_model_id"] == float(baseline["name"])


def test_a_refused_model_fails_the_last_task_with_the_reasons(
    second: Runs, backend: Backend
) -> None:
    assert second["EvaluatorStop"].state == "failed"
    assert second["InfraValidatorStop"].state == "succeeded", "it was not loaded, nor refused again"
    assert second["InfraValidator"].artifacts["blessing"]["metadata"]["blessed"] == 0
    *_, reason, last = second["EvaluatorStop"].log.splitlines()
    assert "roc_auc" in reason
    assert last == "failed to execute component: exit status 4"
    assert "refused" in second["EvaluatorStop"].log
    page = backend.stored(second["Evaluator"].artifacts["refusal_page"]["uri"]).read_text()
    assert "Evaluator: refused" in page
    assert re.search(r"rock: roc_auc 0\.\d+", page)
    assert second["Pusher"].artifacts["pushed_model"]["metadata"]["pushed"] == 0
    assert len(list(pushed_versions(SERVING))) == 1


@pytest.fixture(scope="module")
def again(
    backend: Backend, first: Runs, second: Runs, tiny_package: Spec, s3: dict[str, str]
) -> Runs:
    """What the first run did, once more."""
    return _run(backend, tiny_package, s3)


def test_the_same_run_again_only_looks_and_reports(again: Runs) -> None:
    """Its own model is there meanwhile, which is not the one that it is compared with."""
    assert _executed(again) == LOOKING | ENDING
    assert again["BaselineVersion"].parameters == {"expected_version": ""}


def test_the_same_run_again_pushes_nothing_new(again: Runs) -> None:
    (version,) = pushed_versions(SERVING)
    pushed = again["Pusher"].artifacts["pushed_model"]["metadata"]
    assert pushed["pushed_destination"] == version.location


def test_comparing_follows_the_version_to_compare_with(
    backend: Backend, again: Runs, tiny_package: Spec, s3: dict[str, str], tmp_path: Path
) -> None:
    """Other models are pushed, the last of them is taken back, then all of them are deleted."""
    only = set(tiny_package["root"]["dag"]["tasks"]) - ENDING
    (served,) = pushed_versions(SERVING)
    others = [_push_another(served, tmp_path / recipe) for recipe in ("other", "bad")]
    runs = _run(backend, tiny_package, s3, only)
    assert _executed(runs) == LOOKING | COMPARING
    assert _baseline(runs) == str(others[1].version)

    assert _executed(_run(backend, tiny_package, s3, only)) == LOOKING

    restored = roll_back(SERVING, None, reason="worse", by="test").version
    runs = _run(backend, tiny_package, s3, only)
    assert _executed(runs) == LOOKING | COMPARING
    assert _baseline(runs) == str(restored)

    for version in (others[0].version, others[1].version, restored):
        fsspec.filesystem("s3").rm(f"{SERVING}/{version}", recursive=True)
    runs = _run(backend, tiny_package, s3, only)
    assert _executed(runs) == LOOKING
    assert runs["BaselineModel"].artifacts == again["BaselineModel"].artifacts


def _push_another(version: PushedVersion, folder: Path) -> PushedVersion:
    """Pushes a model once more, as if another recipe had made it."""
    with local_copy(version.location) as copy:
        shutil.copytree(copy, folder)
    description = dataclasses.replace(version.description, recipe=folder.name)
    write_model_description(folder, description)
    return push_model(folder, SERVING)


def _baseline(runs: Runs) -> str:
    version: str = runs["BaselineModel"].artifacts["model"]["metadata"]["pushed_version"]
    return version


def test_refused_data_stop_the_run_before_training(
    tiny_package: Spec, tmp_path: Path, covers: Path
) -> None:
    """On a back end of 2.0 to 2.14, with data on a mounted volume."""
    labels = covers / "labels.csv"
    lines = labels.read_text().splitlines()
    lines[10::10] = [f"{line}|polka" for line in lines[10::10]]
    (covers / "polka.csv").write_text("\n".join(lines) + "\n")
    backend = Backend(tmp_path, legacy_output_file=True)
    runs = backend.run(
        [tiny_package],
        pipeline_root="s3://bucket/root",
        parameters={
            "data": str(covers / "polka.csv"),
            "push_destination": str(tmp_path / "serving"),
        },
    )
    states = _states(runs)
    assert states["DataGate"] == "succeeded"
    assert states["DataGateStop"] == "failed"
    assert runs["DataGateStop"].log.endswith("\nfailed to execute component: exit status 3")
    later = ("Trainer", "BaselineModel", "Evaluator", "InfraValidator", "Pusher", "EvaluatorStop")
    assert {states[name] for name in later} == {"omitted"}
    assert "DataGate refused." in runs["DataGateStop"].log
    assert "(10.0%): unknown_genre 16" in runs["DataGateStop"].log
    page = backend.stored(runs["DataGate"].artifacts["refusal_page"]["uri"]).read_text()
    assert "DataGate: refused" in page
    assert "s3://bucket/root/tiny/" in page  # the quarantine, where a person finds it
    assert not (tmp_path / "serving").exists()


@pytest.mark.parametrize("training", ["{}", "{", '{"config": {"epochs": "many"}}'])
def test_wrong_training_options_are_refused_before_anything_else_runs(
    tiny_package: Spec, tmp_path: Path, covers: Path, training: str
) -> None:
    runs = Backend(tmp_path).run(
        [tiny_package],
        pipeline_root="minio://mlpipeline/v2",
        parameters={
            "data": str(covers),
            "push_destination": str(tmp_path / "serving"),
            "training": training,
        },
    )
    states = {name: run.state for name, run in runs.items()}
    assert states.pop("DataFingerprint") == "failed"
    assert set(states.values()) == {"omitted"}
    assert "ConfigError: Expected the parameter `training`" in runs["DataFingerprint"].log
    assert "Traceback" not in runs["DataFingerprint"].log


def test_the_stock_entrypoint_fails_in_the_first_task(tiny_package: Spec, tmp_path: Path) -> None:
    spec = copy.deepcopy(tiny_package)
    container = spec["deploymentSpec"]["executors"]["exec-LabelSchemaGen"]["container"]
    container["command"] = list(KUBEFLOW_TFX_CMD)
    runs = Backend(tmp_path).run(
        [spec],
        pipeline_root="minio://mlpipeline/v2",
        parameters={"data": "none", "push_destination": "none"},
        only={"LabelSchemaGen"},
    )
    assert runs["LabelSchemaGen"].state == "failed"
    assert (
        "system.Artifact" in runs["LabelSchemaGen"].log or "'system'" in runs["LabelSchemaGen"].log
    )


def test_what_tfx_compiles_by_itself_is_rejected(tiny_package: Spec, tmp_path: Path) -> None:
    spec = copy.deepcopy(tiny_package)
    for parameter in spec["root"]["inputDefinitions"]["parameters"].values():
        parameter.pop("defaultValue", None)
    given = {"data": DATA, "push_destination": SERVING}
    with pytest.raises(Rejected, match="training requires a value"):
        Backend(tmp_path).run([spec], pipeline_root="s3://b/r", parameters=given)
