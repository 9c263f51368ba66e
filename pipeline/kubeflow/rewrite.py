"""Turns the specification that TFX compiles into one that the open-source back end runs.

Pure functions on the JSON form of a PipelineSpec (kubeflow/pipelines, pipeline_spec.proto). They
know tasks, components and executors, and nothing about what the nodes do.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping, Sequence

from components.contracts.nodes import COVER_EXAMPLE_GEN, EXPECTED_VERSION, ON_BEAM, REPORT_GEN
from components.support.errors import ConfigError
from components.support.suggestions import did_you_mean
from pipeline.kubeflow.baseline_version import add_baseline_version
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.container.compare_view import ALL_GENRES, METRICS, genre_outputs
from pipeline.kubeflow.container.executor_output import PAGE_SUFFIX
from pipeline.kubeflow.container.refusals import REFUSAL, REFUSAL_PAGE
from pipeline.kubeflow.graph import (
    CLASSIFICATION_TYPE,
    COMPONENT,
    EXECUTOR,
    HTML,
    METRICS_TYPE,
    STRING,
    Spec,
    add_task,
    artifact_of,
    component_of,
    depend,
    parameter_of,
)
from pipeline.kubeflow.lifetimes import pipeline_config, retry_policy
from pipeline.kubeflow.parameters import DATA, PUSH_DESTINATION, TRAINING
from pipeline.kubeflow.platform_spec import container_resources, kubernetes_config
from pipeline.kubeflow.pod_checks import check_pod
from pipeline.kubeflow.pods import SCRATCH
from pipeline.kubeflow.quantities import seconds
from pipeline.kubeflow.small_tasks import FINGERPRINT_TASK, STOP_SUFFIX

ENTRYPOINT = "pipeline.kubeflow.container.entrypoint"

FINGERPRINT = "data_fingerprint"

_INGEST_CONFIG = "config"  # parameter of CoverExampleGen


@dataclasses.dataclass(frozen=True)
class Gate:
    """A task that can refuse to go on.

    Attributes:
        node: the task.
        exit_code: of the task that fails after a refusal.
        at_once: whether the refusal keeps the tasks that depend on the node from running; if
            not, it is reported when all others are done.
    """

    node: str
    exit_code: int
    at_once: bool


def rewrite(
    spec: Spec,
    *,
    kubeflow: KubeflowConfig,
    shared_folder: str = "",
    defaults: Mapping[str, str],
    gates: Sequence[Gate],
    pages: Mapping[str, Sequence[str]],
    genres: Sequence[str],
    largest_file: int,
) -> tuple[Spec, Spec]:
    """Returns the PipelineSpec and the PlatformSpec for the open-source back end.

    Args:
        spec: the PipelineSpec of version 2.1 that TFX compiled; not modified.
        kubeflow: image, resources and so on.
        shared_folder: where tasks on Beam meet the workers of an engine; empty if they do not.
        defaults: parameter -> default.
        gates: the tasks that can refuse.
        pages: task -> keys of the outputs that hold a page.
        genres: of the label schema.
        largest_file: greatest size of an image's file, bytes, that the fingerprint reads.

    Raises:
        ConfigError: the pipeline has something that the back end cannot run, or the
            configuration names a task that does not exist.
    """
    spec = copy.deepcopy(spec)
    refuse_unsupported(spec)
    _name_as_kfp_does(spec)
    _set_defaults(spec, defaults)
    add_baseline_version(spec, kubeflow.image)
    _cache_where_right(spec)
    for node, keys in pages.items():
        _add_pages(spec, node, keys)
    _add_compare_view(spec, genres)
    _add_fingerprint(spec, kubeflow.image, largest_file)
    for gate in gates:
        _add_stop(spec, gate, kubeflow.image)
    _check_nodes(spec, kubeflow)
    if kubeflow.pipeline_root:
        spec["defaultPipelineRoot"] = kubeflow.pipeline_root
    if shared_folder:
        _share(spec, shared_folder)
    return spec, _place(spec, kubeflow)


def refuse_unsupported(spec: Spec) -> None:
    """Raises on what the open-source back end cannot run.

    Raises:
        ConfigError: names the tasks and what to use instead.
    """
    problems = []
    tasks = spec["root"]["dag"]["tasks"]
    for label, executor in spec["deploymentSpec"]["executors"].items():
        if "resolver" in executor:
            problems.append(f"{label}: a resolver; look up its result in a component")
        container = executor.get("container", {})
        if "lifecycle" in container:
            problems.append(f"{label}: a driver before the cache check; use the executor")
        words = [*container.get("command", ()), *container.get("args", ())]
        if any("inputs.artifacts[" in word and "].value" in word for word in words):
            problems.append(f"{label}: an artifact's value in its command; read it in the code")
    for name, component in spec["components"].items():
        if "dag" in component:
            problems.append(f"{name}: a pipeline within the pipeline, or an exit handler")
    for name, task in tasks.items():
        if "ALL_UPSTREAM_TASKS_COMPLETED" in json.dumps(task.get("triggerPolicy", {})):
            problems.append(f"{name}: an exit handler")
        for parameter, given in task.get("inputs", {}).get("parameters", {}).items():
            producer = given.get("taskOutputParameter", {}).get("producerTask")
            if producer and producer not in tasks:
                problems.append(f"{name}: parameter {parameter} from the output of another task")
    if problems:
        listed = "\n".join(f"  {problem}" for problem in sorted(problems))
        raise ConfigError(
            "Expected a pipeline that Kubeflow Pipelines can run. Received: one that uses what its "
            f"open-source back end lacks:\n{listed}"
        )


def _name_as_kfp_does(spec: Spec) -> None:
    # kfp's local runner relies on these prefixes.
    names = {name: f"{COMPONENT}{name}" for name in spec["components"]}
    spec["components"] = {names[name]: one for name, one in spec["components"].items()}
    executors = {}
    for name, component in spec["components"].items():
        label = EXECUTOR + name.removeprefix(COMPONENT)
        executors[label] = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        component["executorLabel"] = label
    spec["deploymentSpec"]["executors"] = executors
    for task in spec["root"]["dag"]["tasks"].values():
        task["componentRef"]["name"] = names[task["componentRef"]["name"]]


def _set_defaults(spec: Spec, defaults: Mapping[str, str]) -> None:
    # TFX drops them, and a run that leaves such a parameter out is then rejected.
    parameters = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, parameter in parameters.items():
        if name in defaults:
            parameter["defaultValue"] = defaults[name]


def _cache_where_right(spec: Spec) -> None:
    # A task that reads or changes the push destination depends on more than its inputs, unless one
    # of them says which version it reads.
    for task in spec["root"]["dag"]["tasks"].values():
        parameters = task.get("inputs", {}).get("parameters", {})
        if PUSH_DESTINATION in parameters and EXPECTED_VERSION not in parameters:
            task["cachingOptions"] = {}


def _add_pages(spec: Spec, node: str, keys: Sequence[str]) -> None:
    outputs = component_of(spec, node).setdefault("outputDefinitions", {})
    for key in keys:
        outputs.setdefault("artifacts", {})[key + PAGE_SUFFIX] = copy.deepcopy(HTML)


def _add_compare_view(spec: Spec, genres: Sequence[str]) -> None:
    outputs = component_of(spec, REPORT_GEN)["outputDefinitions"]["artifacts"]
    outputs[METRICS] = copy.deepcopy(METRICS_TYPE)
    for key in (ALL_GENRES, *genre_outputs(genres).values()):
        outputs[key] = copy.deepcopy(CLASSIFICATION_TYPE)


def _add_fingerprint(spec: Spec, image: str, largest_file: int) -> None:
    """Adds the first task: it checks what the run was given, and fingerprints the data.

    With the fingerprint, what depends on the data can be cached.
    """
    tasks = spec["root"]["dag"]["tasks"]
    readers = [
        name
        for name, task in tasks.items()
        if FINGERPRINT in task.get("inputs", {}).get("parameters", {})
    ]
    if not readers:
        return
    add_task(
        spec,
        FINGERPRINT_TASK,
        image,
        args=[
            "fingerprint",
            f"{{{{$.inputs.parameters['{DATA}']}}}}",
            f"{{{{$.inputs.parameters['{_INGEST_CONFIG}']}}}}",
            str(largest_file),
            f"{{{{$.inputs.parameters['{TRAINING}']}}}}",
            f"{{{{$.outputs.parameters['{FINGERPRINT}'].output_file}}}}",
        ],
        parameters={
            DATA: {"componentInputParameter": DATA},
            # Which columns of a manifest name images: what the fingerprint must read.
            _INGEST_CONFIG: tasks[COVER_EXAMPLE_GEN]["inputs"]["parameters"][_INGEST_CONFIG],
            TRAINING: {"componentInputParameter": TRAINING},
        },
        outputs={FINGERPRINT: STRING},
    )
    for name in readers:
        source = parameter_of(FINGERPRINT_TASK, FINGERPRINT)
        tasks[name]["inputs"]["parameters"][FINGERPRINT] = source
        depend(tasks[name], FINGERPRINT_TASK)
    for name, task in tasks.items():
        if name != FINGERPRINT_TASK and not task.get("dependentTasks"):
            depend(task, FINGERPRINT_TASK)


def _add_stop(spec: Spec, gate: Gate, image: str) -> None:
    """Lets a gate publish its decision, and adds the task that fails if it is a refusal."""
    component = component_of(spec, gate.node)
    outputs = component.setdefault("outputDefinitions", {})
    outputs.setdefault("parameters", {})[REFUSAL] = dict(STRING)
    outputs.setdefault("artifacts", {})[REFUSAL_PAGE] = copy.deepcopy(HTML)
    container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    container["args"] += ["--gate", gate.node]

    stop = gate.node + STOP_SUFFIX
    tasks = spec["root"]["dag"]["tasks"]
    others = [name for name in tasks if not name.endswith(STOP_SUFFIX)]
    add_task(
        spec,
        stop,
        image,
        args=[
            "stop",
            gate.node,
            str(gate.exit_code),
            f"{{{{$.inputs.parameters['{REFUSAL}']}}}}",
        ],
        parameters={REFUSAL: parameter_of(gate.node, REFUSAL)},
        # So that the page can be found from the failed task.
        artifacts={REFUSAL_PAGE: artifact_of(gate.node, REFUSAL_PAGE)},
        artifact_types={REFUSAL_PAGE: HTML},
    )
    depend(tasks[stop], gate.node)
    if gate.at_once:
        for name in others:
            if gate.node in tasks[name].get("dependentTasks", ()):
                depend(tasks[name], stop)
    else:
        for name in others:
            depend(tasks[stop], name)


def _check_nodes(spec: Spec, kubeflow: KubeflowConfig) -> None:
    tasks = spec["root"]["dag"]["tasks"]
    unknown = sorted(set(kubeflow.tasks) - set(tasks))
    if unknown:
        raise ConfigError(
            f"Expected kubeflow.tasks to name tasks of the pipeline: {', '.join(sorted(tasks))}. "
            f"Received: {', '.join(unknown)}.{did_you_mean(unknown[0], tasks)}"
        )
    for name in tasks:
        check_pod(name, kubeflow.task(name))
    for name, task in kubeflow.tasks.items():
        if task.retries and name.endswith(STOP_SUFFIX):
            raise ConfigError(
                f"Expected no retries of {name}, which fails for a refusal alone. "
                "Received: kubeflow.tasks with retries for it."
            )


def _share(spec: Spec, folder: str) -> None:
    """Tells the tasks on Beam where the workers of their engine see files."""
    for node in ON_BEAM:
        executor = spec["deploymentSpec"]["executors"][component_of(spec, node)["executorLabel"]]
        executor["container"]["args"] += ["--shared", folder]


def _place(spec: Spec, kubeflow: KubeflowConfig) -> Spec:
    """Sets resources and environment in the spec; returns the PlatformSpec with the rest."""
    executors, tasks = spec["deploymentSpec"]["executors"], spec["root"]["dag"]["tasks"]
    placed = {}
    for name in tasks:
        label = component_of(spec, name)["executorLabel"]
        container = executors[label].get("container")
        if container is None:  # an importer runs in the launcher only
            continue
        task = kubeflow.task(name)
        if task.image:
            container["image"] = task.image
        if task.scratch and ENTRYPOINT in container["command"]:
            container["args"] += ["--scratch", SCRATCH]
        if task.retries and not name.endswith(STOP_SUFFIX):
            tasks[name]["retryPolicy"] = retry_policy(task.retries)
            retry_for = str(seconds(task.retries.give_up_after))
            if ENTRYPOINT in container["command"]:
                container["args"] += ["--retry_for", retry_for]
            else:
                attempts = ["--attempts", kubeflow.state or "", retry_for, "{{$}}"]
                container["args"] = [*attempts, *container["args"]]
        if kubeflow.state and ENTRYPOINT in container["command"]:
            container["args"] += ["--state", kubeflow.state]
        if resources := container_resources(task):
            container["resources"] = resources
        if task.accelerator and task.accelerator.is_gpu and ENTRYPOINT in container["command"]:
            container["args"] += ["--gpus", str(task.accelerator.count)]
        if task.env:
            container["env"] = [{"name": key, "value": value} for key, value in task.env.items()]
        if config := kubernetes_config(kubeflow, task):
            placed[label] = config
    platform: Spec = {"deploymentSpec": {"executors": placed}} if placed else {}
    if config := pipeline_config(kubeflow.active_deadline, kubeflow.keep_workflow):
        platform["pipelineConfig"] = config
    return {"platforms": {"kubernetes": platform}} if platform else {}
