from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format

from components.support.errors import ConfigError
from pipeline.cli import main
from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.config import merged
from pipeline.kubeflow.package import CompiledPackage
from pipeline.kubeflow.quantities import quantity, seconds
from pipeline.kubeflow.rewrite import refuse_unsupported

PLACED = [
    "kubeflow.data=s3://bucket/covers",
    "kubeflow.pipeline_root=s3://bucket/root",
    "kubeflow.image_pull_policy=Always",
    "kubeflow.image_pull_secrets=[registry]",
    "kubeflow.all_tasks={cpu: 500m, memory: 2Gi, env: {A: '1'}, secrets_as_env: "
    "[{name: s3, keys: {AWS_ACCESS_KEY_ID: accesskey}}]}",
    "kubeflow.tasks={Trainer: {memory: 8G, memory_limit: 8G, cpu_limit: '4', env: {B: '2'}, "
    "accelerator: {count: 2}, node_selector: {pool: gpu}, "
    "tolerations: [{key: gpu, operator: Exists, effect: NoExecute, seconds: 60}], "
    "volumes: [{name: covers, path: /data}], secrets: [{name: ca, path: /ca}], "
    "config_maps: [{name: options, path: /options}]}}",
]

MEASURED_GIGABYTES = 2.75  # the most that a task took with 3,751 covers


@pytest.fixture(scope="module")
def placed(tiny_config: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = compile_pipeline(load_config(tiny_config, PLACED)).documents
    return spec, platform


def _tasks(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["root"]["dag"]["tasks"]  # type: ignore[no-any-return]


def _container(spec: dict[str, Any], task: str) -> dict[str, Any]:
    component = spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]
    label = spec["components"][component]["executorLabel"]
    return spec["deploymentSpec"]["executors"][label]["container"]  # type: ignore[no-any-return]


def test_the_specification_is_one_of_pipeline_spec_2_1(
    tiny_package: dict[str, Any], placed: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    pipeline_spec_pb2 = pytest.importorskip("kfp.pipeline_spec.pipeline_spec_pb2")
    for spec in (tiny_package, placed[0]):
        assert spec["schemaVersion"] == "2.1.0"
        deployment = json_format.ParseDict(
            spec["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig()
        )
        parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        assert set(parsed.root.dag.tasks) == set(_tasks(spec))
        for component in parsed.components.values():
            assert component.executor_label in deployment.executors
    json_format.ParseDict(placed[1], pipeline_spec_pb2.PlatformSpec())


def test_all_nodes_of_the_pipeline_are_tasks_with_our_entrypoint(
    tiny_package: dict[str, Any],
) -> None:
    ours = {
        "DataFingerprint", "DataGateStop", "BaselineVersion", "EvaluatorStop", "InfraValidatorStop"
    }  # fmt: skip
    assert ours < set(_tasks(tiny_package))
    for name in _tasks(tiny_package):
        container = _container(tiny_package, name)
        module = (
            "pipeline.kubeflow.container.tasks"
            if name in ours
            else "pipeline.kubeflow.container.entrypoint"
        )
        assert container["command"] == ["python", "-m", module]
        assert container["image"] == "covers:test"
        assert "lifecycle" not in container
    text = json.dumps(tiny_package)
    assert '"resolver"' not in text
    assert "tfx.orchestration.kubeflow.v2.container" not in text


def test_parameters_have_the_defaults_there_are(
    tiny_package: dict[str, Any], placed: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    parameters = tiny_package["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {"data", "push_destination", "training"}
    assert "defaultValue" not in parameters["data"]
    assert json.loads(parameters["training"]["defaultValue"])["config"]["epochs"] == 2
    parameters = placed[0]["root"]["inputDefinitions"]["parameters"]
    assert parameters["data"]["defaultValue"] == "s3://bucket/covers"
    assert placed[0]["defaultPipelineRoot"] == "s3://bucket/root"


def test_only_what_depends_on_its_inputs_alone_is_cached(tiny_package: dict[str, Any]) -> None:
    uncached = {
        name
        for name, task in _tasks(tiny_package).items()
        if not task.get("cachingOptions", {}).get("enableCache")
    }
    assert uncached == {
        "DataFingerprint", "DataGateStop", "BaselineVersion", "Pusher", "ReportGen",
        "EvaluatorStop", "InfraValidatorStop",
    }  # fmt: skip


def test_without_caches_no_task_is_cached(tiny_config: Path) -> None:
    spec = compile_pipeline(load_config(tiny_config), use_cache=False).documents[0]
    assert not any(task.get("cachingOptions") for task in _tasks(spec).values())


def test_ingest_is_cached_by_the_content_of_the_data(tiny_package: dict[str, Any]) -> None:
    ingest = _tasks(tiny_package)["CoverExampleGen"]
    assert ingest["inputs"]["parameters"]["data_fingerprint"] == {
        "taskOutputParameter": {
            "producerTask": "DataFingerprint", "outputParameterKey": "data_fingerprint"
        }
    }  # fmt: skip
    assert "DataFingerprint" in ingest["dependentTasks"]


def test_nothing_runs_before_the_task_that_checks_what_the_run_was_given(
    tiny_package: dict[str, Any],
) -> None:
    tasks = _tasks(tiny_package)
    assert [name for name in tasks if not tasks[name].get("dependentTasks")] == ["DataFingerprint"]
    given = tasks["DataFingerprint"]["inputs"]["parameters"]
    assert given["training"] == {"componentInputParameter": "training"}


def test_a_task_requests_at_least_the_memory_that_was_measured(
    tiny_package: dict[str, Any],
) -> None:
    for name in _tasks(tiny_package):
        assert _container(tiny_package, name)["resources"]["memoryRequest"] > MEASURED_GIGABYTES


def test_the_baseline_is_cached_by_the_version_of_the_candidate(
    tiny_package: dict[str, Any],
) -> None:
    tasks = _tasks(tiny_package)
    baseline, version = tasks["BaselineModel"], tasks["BaselineVersion"]
    assert baseline["inputs"]["parameters"]["expected_version"] == {
        "taskOutputParameter": {
            "producerTask": "BaselineVersion", "outputParameterKey": "expected_version"
        }
    }  # fmt: skip
    assert "BaselineVersion" in baseline["dependentTasks"]
    assert version["inputs"] == {
        "parameters": {"push_destination": {"componentInputParameter": "push_destination"}},
        "artifacts": {"candidate": baseline["inputs"]["artifacts"]["candidate"]},
    }
    assert version["dependentTasks"] == ["Trainer"]


def test_the_report_is_a_page_of_the_user_interface(tiny_package: dict[str, Any]) -> None:
    outputs = tiny_package["components"]["comp-ReportGen"]["outputDefinitions"]["artifacts"]
    assert outputs["report_page"]["artifactType"]["schemaTitle"] == "system.HTML"


def test_a_refusal_of_the_data_keeps_the_trainer_from_running(tiny_package: dict[str, Any]) -> None:
    assert "DataGateStop" in _tasks(tiny_package)["Trainer"]["dependentTasks"]


def test_a_refusal_of_the_model_is_told_when_all_else_is_done(tiny_package: dict[str, Any]) -> None:
    tasks = _tasks(tiny_package)
    others = {name for name in tasks if not name.endswith("Stop")}
    assert set(tasks["EvaluatorStop"]["dependentTasks"]) == others
    assert set(tasks["InfraValidatorStop"]["dependentTasks"]) == others


def test_resources_and_environment(placed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, platform = placed
    assert _container(spec, "Pusher")["resources"] == {
        "cpuRequest": 0.5, "memoryRequest": 2.147483648
    }  # fmt: skip
    trainer = _container(spec, "Trainer")
    assert trainer["resources"] == {
        "cpuRequest": 0.5, "cpuLimit": 4.0, "memoryRequest": 8.0, "memoryLimit": 8.0,
        "accelerator": {"type": "nvidia.com/gpu", "count": "2"},
    }  # fmt: skip
    assert trainer["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(executors) == len(_tasks(spec))
    assert executors["exec-Trainer"] == {
        "imagePullPolicy": "Always",
        "imagePullSecret": [{"secretName": "registry"}],
        "nodeSelector": {"labels": {"pool": "gpu"}},
        "tolerations": [
            {
                "key": "gpu", "operator": "Exists", "value": "", "effect": "NoExecute",
                "tolerationSeconds": 60,
            }
        ],
        "secretAsEnv": [
            {
                "secretName": "s3",
                "keyToEnv": [{"secretKey": "accesskey", "envVar": "AWS_ACCESS_KEY_ID"}],
            }
        ],
        "secretAsVolume": [{"secretName": "ca", "mountPath": "/ca"}],
        "configMapAsVolume": [{"configMapName": "options", "mountPath": "/options"}],
        "pvcMount": [{"constant": "covers", "mountPath": "/data"}],
    }  # fmt: skip


def test_a_task_with_gpus_checks_that_they_are_there(
    tiny_config: Path, placed: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    spec = placed[0]
    checked = {name for name in _tasks(spec) if "--gpus" in _container(spec, name)["args"]}
    assert checked == {"Trainer"}
    args = _container(spec, "Trainer")["args"]
    assert args[args.index("--gpus") + 1] == "2"
    tpu = ["kubeflow.all_tasks={accelerator: {type: google.com/tpu}}"]
    assert "--gpus" not in json.dumps(compile_pipeline(load_config(tiny_config, tpu)).documents)
    slices = ["kubeflow.all_tasks={accelerator: {type: nvidia.com/mig-1g.5gb}}"]
    spec = compile_pipeline(load_config(tiny_config, slices)).documents[0]
    assert {name for name in _tasks(spec) if "--gpus" not in _container(spec, name)["args"]} == {
        "DataFingerprint", "DataGateStop", "BaselineVersion", "EvaluatorStop", "InfraValidatorStop"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), ("2", 2.0), ("4Gi", 4 * 2**30), ("1.5G", 1.5e9)]
)
def test_quantities(text: str, number: float) -> None:
    assert quantity(text) == number


def test_a_later_cluster_file_adds_to_mappings_and_replaces_the_rest() -> None:
    first = {"image": "a:1", "tasks": {"Trainer": {"cpu": 4, "volumes": [1]}, "Pusher": {}}}
    second = {"image": "a:2", "tasks": {"Trainer": {"volumes": [2]}}}
    assert merged(first, second) == {
        "image": "a:2", "tasks": {"Trainer": {"cpu": 4, "volumes": [2]}, "Pusher": {}}
    }  # fmt: skip
    assert first["tasks"] == {"Trainer": {"cpu": 4, "volumes": [1]}, "Pusher": {}}


def _configured(folder: Path, files: dict[str, str]) -> list[str]:
    """Writes a configuration, covers.yaml, and files of clusters; returns the command's options."""
    options = ["--config", str(folder / "covers.yaml")]
    for name, text in files.items():
        (folder / name).write_text(text)
        if name != "covers.yaml":
            options += ["--cluster", str(folder / name)]
    return options


_OWN = (
    "{name: tiny, schema: '%s', kubeflow: {image: 'own:1', active_deadline: 24h, tasks: {Trainer: "
    "{memory: 9Gi, tolerations: [{key: a, operator: Exists}]}}}}"
    % (Path(__file__).parents[2] / "schema" / "schema.pbtxt")
)


def test_a_cluster_file_adds_to_what_the_configuration_says(tmp_path: Path) -> None:
    _configured(
        tmp_path,
        {
            "covers.yaml": _OWN,
            "gpu.yaml": "tasks: {Trainer: {cpu: 4, tolerations: []}, Pusher: {cpu: 1}}",
            "spot.yaml": "{image: 'spot:1', tasks: {Trainer: {cpu: 2}}}",
        },
    )
    clusters = [tmp_path / "gpu.yaml", tmp_path / "spot.yaml"]
    kubeflow = load_config(tmp_path / "covers.yaml", [], clusters).kubeflow
    assert (kubeflow.image, kubeflow.active_deadline) == ("spot:1", "24h")
    assert kubeflow.task("Trainer").model_dump(exclude_unset=True) == {
        "memory": "9Gi", "cpu": "2", "tolerations": ()
    }  # fmt: skip
    assert kubeflow.task("Pusher").cpu == "1"
    kubeflow = load_config(tmp_path / "covers.yaml", ["kubeflow.image=set:1"], clusters).kubeflow
    assert kubeflow.image == "set:1"


def test_a_cluster_file_may_complete_what_another_begins(tmp_path: Path) -> None:
    _configured(
        tmp_path,
        {
            "covers.yaml": _OWN,
            "a.yaml": "tasks: {Trainer: {retries: {wait: 5s}}}",
            "b.yaml": "tasks: {Trainer: {retries: {max: 3}}}",
        },
    )
    clusters = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    retries = load_config(tmp_path / "covers.yaml", [], clusters).kubeflow.task("Trainer").retries
    assert retries is not None
    assert (retries.wait, retries.max) == ("5s", 3)


@pytest.mark.parametrize(
    ("files", "named", "expected"),
    [
        ({"a.yaml": "all_tasks: {labels: {built: 2026-01-01}}"}, "a.yaml", "labels.built: Expecte"),
        ({"a.yaml": "all_tasks: {labels: {on: yes}}"}, "a.yaml", "Expected a text"),
        ({"a.yaml": "all_tasks: {env: !!set {A, B}}"}, "a.yaml", "Expected a mapping"),
        ({"a.yaml": "{1: 2}"}, "a.yaml", "Expected "),
        ({"a.yaml": "all_tasks:"}, "a.yaml", "all_tasks: Expected a mapping"),
        ({"a.yaml": "image: ok:1", "b.yaml": "imag: x"}, "b.yaml", "imag: Expected a known option"),
        ({"a.yaml": "imag: x", "b.yaml": "image: ok:1"}, "a.yaml", "imag: Expected a known option"),
        ({"a.yaml": "[a]"}, "a.yaml", "a mapping of options"),
        ({"a.yaml": "image: 'a"}, "a.yaml", "to be a YAML file"),
        ({"covers.yaml": _OWN.replace("own:1", "o 1"), "a.yaml": ""}, "a.yaml", "mapping"),
        (
            {"covers.yaml": _OWN.replace("image", "imag"), "a.yaml": "image: ok:1"},
            "covers.yaml",
            "imag: Expected a known option",
        ),
        ({"covers.yaml": _OWN.partition("kubeflow")[0] + "kubeflow: [a]}"}, "covers.yaml", "Expec"),
    ],
)  # fmt: skip
def test_a_wrong_cluster_file_is_named(
    tmp_path: Path, files: dict[str, str], named: str, expected: str
) -> None:
    options = _configured(tmp_path, {"covers.yaml": _OWN, "z.yaml": "{}", **files})
    output = ["-o", str(tmp_path / "pipeline.yaml")]
    result = CliRunner().invoke(main, ["compile", *options, *output])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    said = result.output
    assert expected in said
    assert {name for name in ("covers.yaml", *files) if str(tmp_path / name) in said} == {named}


@pytest.mark.parametrize(
    ("text", "count"), [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)]
)
def test_lengths_of_time(text: str, count: int) -> None:
    assert seconds(text) == count


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("kubeflow.all_tasks={memory: lots}", "Expected a Kubernetes quantity"),
        ("kubeflow.pipeline_root=/tmp/root", "Expected a pipeline root in an object store"),
        ("kubeflow.tasks={Trainr: {cpu: 1}}", "Received: Trainr."),
        ("kubeflow.image=''", "Expected kubeflow.image to name the image"),
        (
            "name=tiny_one",
            "Expected the name of a pipeline.* Received: 'tiny_one'. Use 'tiny-one'.",
        ),
        ("name=covers-", "Expected the name of a pipeline.* Received: 'covers-'. Use 'covers'."),
        ("kubeflow.data=/data/covers", "below a volume of DataFingerprint.* volumes at no path"),
        ("schema=/nowhere.pbtxt", "Expected a schema file at /nowhere.pbtxt"),
        ("kubeflow.all_tasks={memory_limit: 2Gi}", "memory_limit of .* at least memory, 3Gi"),
        ("kubeflow.all_tasks={cpu: 4, cpu_limit: 1}", "cpu_limit of .* at least cpu, 4 unless"),
        ("kubeflow.tasks={DataGateStop: {retries: {max: 1}}}", "Expected no retries of DataGate"),
        ("kubeflow.all_tasks={timeout: 90}", "Expected a length of time, such as 90s"),
        ("kubeflow.active_deadline=99999d", "Expected a length of time, such as 90s"),
        ("kubeflow.state=/mnt/state", "Expected a folder in an object store"),
        ("kubeflow.state=minio://b/state", "Expected a folder in an object store"),
        ("kubeflow.all_tasks={priority_class: high}", "Received: priority_class, which a package"),
        ("kubeflow.all_tasks={security_context: {fs_group: 1}}", "Received: fs_group, which a"),
        ("kubeflow.all_tasks={service_account: me}", "covers submit --service-account"),
        ("kubeflow.workspace={size: 1Gi}", "volumes mounts a claim"),
        ("kubeflow.all_tasks={node_affinity: [{labels: [{key: a}]}]}", "Expected values with In"),
        ("trainer.layers=[{Conv2D: {filters: 8, kernel_size: 99}}]", "Expected "),
    ],
)
def test_wrong_settings_are_refused(tiny_config: Path, override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match="(?s)" + expected):
        compile_pipeline(load_config(tiny_config, [override]))


def test_a_path_below_a_mounted_volume_is_reachable(tiny_config: Path) -> None:
    overrides = [
        "kubeflow.data=/data/covers",
        "kubeflow.all_tasks={volumes: [{name: covers, path: /data}]}",
    ]
    spec = compile_pipeline(load_config(tiny_config, overrides)).documents[0]
    assert spec["root"]["inputDefinitions"]["parameters"]["data"]["defaultValue"] == "/data/covers"


def test_what_the_back_end_cannot_run_is_refused_by_name(tiny_package: dict[str, Any]) -> None:
    spec = copy.deepcopy(tiny_package)
    executors = spec["deploymentSpec"]["executors"]
    executors["Latest_executor"] = {"resolver": {}}
    _container(spec, "CoverExampleGen")["lifecycle"] = {"preCacheCheck": {}}
    _container(spec, "Pusher")["args"].append("{{$.inputs.artifacts['model'].value}}")
    spec["components"]["tfx-dag"] = {"dag": {"tasks": {}}}
    _tasks(spec)["Exit"] = {"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}}
    _tasks(spec)["Trainer"]["inputs"]["parameters"]["steps"] = {
        "taskOutputParameter": {"producerTask": "Count_task", "outputParameterKey": "steps"}
    }
    with pytest.raises(ConfigError) as refusal:
        refuse_unsupported(spec)
    assert str(refusal.value).splitlines()[1:] == [
        "  Exit: an exit handler",
        "  Latest_executor: a resolver; look up its result in a component",
        "  Trainer: parameter steps from the output of another task",
        "  exec-CoverExampleGen: a driver before the cache check; use the executor",
        "  exec-Pusher: an artifact's value in its command; read it in the code",
        "  tfx-dag: a pipeline within the pipeline, or an exit handler",
    ]


def test_the_command_writes_a_package(tiny_config: Path, tmp_path: Path) -> None:
    output = tmp_path / "pipeline.yaml"
    result = CliRunner().invoke(
        main, ["compile", "--config", str(tiny_config), "-o", str(output), "--image", "mine:1"]
    )
    assert result.exit_code == 0, result.output
    assert re.search(rf"Pipeline 'tiny' for kubeflow, \d+ tasks, in {output}", result.output)
    (spec,) = yaml.safe_load_all(output.read_text())
    assert _container(spec, "Trainer")["image"] == "mine:1"


def test_the_job_for_vertex_is_as_tfx_compiles_it_with_our_entrypoint(
    tiny_config: Path, tmp_path: Path
) -> None:
    output = tmp_path / "pipeline.json"
    arguments = ["compile", "--config", str(tiny_config), "-o", str(output), "--target", "vertex"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    job = json.loads(output.read_text())
    assert set(_tasks(job["pipelineSpec"])) >= {"LabelSchemaGen", "Trainer", "Pusher"}
    assert "DataGateStop" not in _tasks(job["pipelineSpec"])
    assert "training" in job["runtimeConfig"]["parameterValues"]


@pytest.mark.parametrize(("name", "target"), [("p.json", "kubeflow"), ("p.yaml", "vertex")])
def test_a_file_name_that_the_target_does_not_read(
    tiny_config: Path, tmp_path: Path, name: str, target: str
) -> None:
    result = CliRunner().invoke(
        main,
        [
            "compile", "--config", str(tiny_config), "-o", str(tmp_path / name),
            "--target", target,
        ],
    )  # fmt: skip
    assert result.exit_code == 2
    assert f"Expected the package for {target} to be named" in result.output


def test_every_package_can_be_read_again(tiny_config: Path, tmp_path: Path) -> None:
    for number, overrides in enumerate(
        ([], ["kubeflow.active_deadline=1h"], ["kubeflow.all_tasks.labels={team: music}"])
    ):
        file = tmp_path / f"{number}.yaml"
        compile_pipeline(load_config(tiny_config, overrides)).write(file)
        package = CompiledPackage.from_file(file)
        assert "Trainer" in package.pod_templates


def test_decisions_about_labels_travel_with_the_package(tiny_config: Path, tmp_path: Path) -> None:
    file = tmp_path / "decided.csv"
    texts = []
    for decision in ("add", "remove", "remove"):
        file.write_text(f"cover,genre,decision\nsome/1.jpg,pop,{decision}\nsome/2.jpg,pop,\n")
        package = compile_pipeline(load_config(tiny_config, [f"ingest.relabel={file}"]))
        texts.append(json.dumps(package.documents, sort_keys=True))
    assert texts[0] != texts[1] == texts[2]
    for text in texts:
        assert "decided.csv" in text
        assert "some/1.jpg" in text
        assert "some/2.jpg" not in text
        assert str(tmp_path) not in text
