"""An emulation of the open-source back end of Kubeflow Pipelines 2.x, on this machine.

It does what the API server, the driver and the launcher do to a task that is a container
(kubeflow/pipelines at 7b70c7b95f: backend/src/v2/driver, component/launcher_v2.go, cacheutils,
metadata/converter.go, compiler/argocompiler), and starts the container's own command as a process.
An object store is a folder; what the launcher stages lies below a root of the task's own.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import yaml
from kfp_values import (
    Rejected,
    as_json,
    as_text,
    output_parameter,
    parameter_of_run,
    parameter_of_task,
    property_of_artifact,
)

from pipeline.kubeflow.container.staging import ROOT_VARIABLE

Json = dict[str, Any]

_STAGED = {"minio://": "minio", "s3://": "s3", "gs://": "gcs"}
_RUN_ID = "{{$.pipeline_job_uuid}}"  # a whole constant: driver/resolve.go
_PLACEHOLDER = re.compile(
    r"\{\{\$\.(inputs|outputs)\.(parameters|artifacts)\['([^']+)'\](\.\w+)?\}\}"
)


@dataclasses.dataclass
class TaskRun:
    """What became of one task.

    Attributes:
        state: `succeeded`, `cached`, `failed` or `omitted`.
        log: of the pod: the command's, then the launcher's.
        exit_code: of the pod, which is the launcher's: 1, whatever the command's was.
        attempts: how often it was tried; all but the log is that of the last.
    """

    state: str
    log: str = ""
    exit_code: int = 0
    artifacts: dict[str, Json] = dataclasses.field(default_factory=dict)
    parameters: Json = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    attempts: int = 1


class Backend:
    """One installation: an object store, metadata and a cache that outlive runs.

    Args:
        root: an empty folder.
        legacy_output_file: put the ExecutorOutput where 2.0 to 2.14 do, and no log among the
            outputs, as before logs were published.
        programs: image -> the folder of its `python`; unless given, that of this process.
    """

    def __init__(
        self,
        root: Path,
        *,
        legacy_output_file: bool = False,
        programs: Mapping[str, Path] | None = None,
    ) -> None:
        self.root = root
        self.programs = programs or {}
        self.legacy_output_file = legacy_output_file
        self._artifacts: dict[int, Json] = {}
        self._ids = itertools.count(1)
        self._cache: dict[str, TaskRun] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def stored(self, uri: str) -> Path:
        """Returns where the object store keeps a URI."""
        return self.root / "store" / uri.replace("://", "/")

    def run(
        self,
        documents: list[Json],
        *,
        pipeline_root: str,
        parameters: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
        only: set[str] | None = None,
    ) -> dict[str, TaskRun]:
        """Runs a package.

        Args:
            documents: the package's YAML documents.
            pipeline_root: URI of an object store.
            parameters: the run's parameters.
            env: environment variables of every container, as Secrets would give them.
            only: the tasks to run; all by default.

        Returns:
            Task -> what became of it.

        Raises:
            Rejected: as the API server or a driver would.
        """
        spec = documents[0]
        values = _validated(spec, pipeline_root, parameters)
        run = _Run(self, spec, f"{pipeline_root}/{spec['pipelineInfo']['name']}", values, env or {})
        return run.execute(only)

    def register(self, uri: str, metadata: Json) -> Json:
        """Stores an artifact in ML Metadata; returns it as a RuntimeArtifact of an input."""
        identity = next(self._ids)
        stored = {key: property_of_artifact(value) for key, value in metadata.items()}
        stored.setdefault("display_name", "an output")
        stored.setdefault("store_session_info", '{"Provider":"minio"}')
        # The type's schema does not come back: only its name was stored.
        self._artifacts[identity] = {
            "name": str(identity), "type": {"instanceSchema": ""}, "uri": uri, "metadata": stored,
        }  # fmt: skip
        return self._artifacts[identity]


class _Run:
    def __init__(
        self, backend: Backend, spec: Json, root: str, values: Json, env: Mapping[str, str]
    ) -> None:
        self.backend, self.spec, self.values, self.env = backend, spec, values, env
        self.root = f"{root}/{uuid.uuid4()}"
        self.tasks: Json = spec["root"]["dag"]["tasks"]
        self.runs: dict[str, TaskRun] = {}

    def execute(self, only: set[str] | None) -> dict[str, TaskRun]:
        waiting = {name: set(task.get("dependentTasks", ())) for name, task in self.tasks.items()}
        if only is not None:
            waiting = {name: waiting[name] & only for name in waiting if name in only}
        running: dict[Future[TaskRun], str] = {}
        with ThreadPoolExecutor(max_workers=2) as pool:
            while waiting or running:
                for name in [n for n, upstream in waiting.items() if upstream <= set(self.runs)]:
                    upstream = waiting.pop(name)
                    if any(self.runs[one].state in ("failed", "omitted") for one in upstream):
                        self.runs[name] = TaskRun("omitted")
                    else:
                        running[pool.submit(self._task, name)] = name
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self.runs[running.pop(future)] = future.result()
        return self.runs

    def _task(self, name: str) -> TaskRun:
        task = self.tasks[name]
        component = self.spec["components"][task["componentRef"]["name"]]
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]][
            "container"
        ]
        scratch = self.backend.root / "containers" / f"{name}-{uuid.uuid4().hex[:8]}"
        executor_input = {
            "inputs": self._inputs(name, task, component.get("inputDefinitions", {})),
            "outputs": self._provision(name, component.get("outputDefinitions", {}), scratch),
        }
        caching = task.get("cachingOptions", {}).get("enableCache", False)
        key = _cache_key(container, component, executor_input)
        if caching and key in self.backend._cache:
            cached = self.backend._cache[key]
            return dataclasses.replace(cached, state="cached", log="")
        retries = task.get("retryPolicy", {}).get("maxRetryCount", 0)
        for attempt in range(retries + 1):
            env = {**self.env, **({"KFP_RETRY_INDEX": str(attempt)} if retries else {})}
            # A pod of its own: the same ExecutorInput, and nothing that the last one left.
            shutil.rmtree(scratch, ignore_errors=True)
            given = copy.deepcopy(executor_input)
            launched = _Launcher(self.backend, container, component, given, scratch, env, attempt)
            finished = launched.launch()
            finished.attempts = attempt + 1
            if finished.state == "succeeded":
                break
        if caching and finished.state == "succeeded":
            self.backend._cache[key] = finished
        return finished

    def _inputs(self, name: str, task: Json, definitions: Json) -> Json:
        given = task.get("inputs", {})
        parameters = {key: self._value(one) for key, one in given.get("parameters", {}).items()}
        for key, one in definitions.get("parameters", {}).items():
            if key in parameters:
                parameters[key] = parameter_of_task(key, parameters[key], one["parameterType"])
            elif not one.get("isOptional") and "defaultValue" not in one:
                raise Rejected(
                    f"{name}: neither value nor default value provided for non-optional parameter "
                    f"{key!r}"
                )
        artifacts = {}
        for key, source in given.get("artifacts", {}).items():
            producer = source["taskOutputArtifact"]
            outputs = self.runs[producer["producerTask"]].artifacts
            if producer["outputArtifactKey"] not in outputs:
                raise Rejected(f"{name}: cannot find the artifact of input {key}")
            artifacts[key] = {"artifacts": [copy.deepcopy(outputs[producer["outputArtifactKey"]])]}
        return {"parameterValues": parameters, "artifacts": artifacts}

    def _value(self, source: Json) -> Any:
        if "componentInputParameter" in source:
            value = self.values[source["componentInputParameter"]]
            if value is None:
                raise Rejected("the resolved input parameter is null")
            return value
        if "taskOutputParameter" in source:
            producer = source["taskOutputParameter"]
            return self.runs[producer["producerTask"]].parameters[producer["outputParameterKey"]]
        constant = source["runtimeValue"]["constant"]
        return self.root.rpartition("/")[2] if constant == _RUN_ID else constant

    def _provision(self, name: str, definitions: Json, scratch: Path) -> Json:
        task_root = f"{self.root}/{name}/{uuid.uuid4()}"
        declared = dict(definitions.get("artifacts", {}))
        if not self.backend.legacy_output_file:
            declared["executor-logs"] = {"artifactType": {"schemaTitle": "system.Artifact"}}
        output_file = f"{_staged(task_root, scratch)}/output_metadata.json"
        if self.backend.legacy_output_file:
            output_file = f"{scratch}/tmp/kfp_outputs/output_metadata.json"
        return {
            "artifacts": {
                key: {
                    "artifacts": [
                        {"name": key, "uri": f"{task_root}/{key}", "type": one["artifactType"]}
                    ]
                }
                for key, one in declared.items()
            },
            "parameters": {
                key: {"outputFile": f"{scratch}/tmp/kfp/outputs/{key}"}
                for key in definitions.get("parameters", {})
            },
            "outputFile": output_file,
        }


class _Launcher:
    """Stages, runs one container's command, and publishes what it left."""

    def __init__(
        self,
        backend: Backend,
        container: Json,
        component: Json,
        executor_input: Json,
        scratch: Path,
        env: Mapping[str, str],
        attempt: int = 0,
    ) -> None:
        self.attempt = attempt
        self.backend, self.container, self.component = backend, container, component
        self.executor_input, self.scratch, self.env = executor_input, scratch, env

    def launch(self) -> TaskRun:
        outputs = self.executor_input["outputs"]
        for one in _listed(outputs, "executor-logs"):
            one["uri"] += f"-{self.attempt}"
        for one in _artifacts_of(self.executor_input["inputs"]):
            source, target = self.backend.stored(one["uri"]), _staged(one["uri"], self.scratch)
            if source.exists():
                _copy(source, target)
        for parameter in outputs["parameters"].values():
            Path(parameter["outputFile"]).parent.mkdir(parents=True, exist_ok=True)
        for one in _artifacts_of(outputs):
            _staged(one["uri"], self.scratch).parent.mkdir(parents=True, exist_ok=True)
        code, log = self._execute()
        if code != 0:
            self._upload(only={"executor-logs"})
            return _failed(log, _ended(code))
        try:
            produced = _read_output(Path(outputs["outputFile"]))
            parameters = self._parameters(produced)
            artifacts = self._publish(produced)
        except Rejected as error:
            return _failed(log, str(error))
        return TaskRun("succeeded", log, artifacts=artifacts, parameters=parameters)

    def _execute(self) -> tuple[int, str]:
        words = [*self.container["command"], *self.container.get("args", ())]
        command = [self._substitute(word) for word in words]
        this = Path(sys.executable).parent
        path = f"{self.backend.programs.get(self.container['image'], this)}:{os.environ['PATH']}"
        declared = {one["name"]: one["value"] for one in self.container.get("env", ())}
        env = {**os.environ, "PATH": path, ROOT_VARIABLE: str(self.scratch), **declared, **self.env}
        self.scratch.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            command,
            env=env,
            cwd=self.scratch,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.backend.processes[self.scratch.name.partition("-")[0]] = process
        log, _ = process.communicate()
        for one in _listed(self.executor_input["outputs"], "executor-logs"):
            _staged(one["uri"], self.scratch).write_text(log)
        return process.returncode, log

    def _substitute(self, word: str) -> str:
        word = word.replace("{{$}}", json.dumps(self.executor_input))

        def value(match: re.Match[str]) -> str:
            side, kind, key, field = match.groups()
            if (side, kind) == ("inputs", "parameters"):
                return as_text(self.executor_input["inputs"]["parameterValues"][key])
            if (side, kind, field) == ("outputs", "parameters", ".output_file"):
                return str(self.executor_input["outputs"]["parameters"][key]["outputFile"])
            if field in (".uri", ".path"):
                uri = self.executor_input[side]["artifacts"][key]["artifacts"][0]["uri"]
                return uri if field == ".uri" else str(_staged(uri, self.scratch))
            return match[0]  # left as it is

        return _PLACEHOLDER.sub(value, word)

    def _parameters(self, produced: Json) -> Json:
        values = as_json(produced.get("parameterValues", {}))
        declared = self.component.get("outputDefinitions", {}).get("parameters", {})
        for key, parameter in self.executor_input["outputs"]["parameters"].items():
            if key not in values:
                file = Path(parameter["outputFile"])
                if not file.is_file():
                    raise Rejected(f"failed to read output parameter {key}")
                values[key] = output_parameter(file.read_text(), declared[key]["parameterType"])
        return values

    def _publish(self, produced: Json) -> dict[str, Json]:
        self._upload()
        published = {}
        for key, listed in self.executor_input["outputs"]["artifacts"].items():
            artifact = copy.deepcopy(listed["artifacts"][0])
            for change in _listed(produced, key)[: key != "executor-logs"]:
                artifact["uri"] = change.get("uri") or artifact["uri"]
                artifact["metadata"] = {
                    **artifact.get("metadata", {}),
                    **change.get("metadata", {}),
                }
            published[key] = self.backend.register(artifact["uri"], artifact.get("metadata", {}))
        return published

    def _upload(self, only: set[str] | None = None) -> None:
        for key, listed in self.executor_input["outputs"]["artifacts"].items():
            if only is not None and key not in only:
                continue
            for one in listed["artifacts"]:
                source = _staged(one["uri"], self.scratch)
                if source.exists():
                    _copy(source, self.backend.stored(one["uri"]))


def _validated(spec: Json, pipeline_root: str, parameters: Mapping[str, Any]) -> Json:
    if spec.get("schemaVersion") != "2.1.0":
        raise Rejected("unknown template format: expected pipeline spec 2.1.0")
    if not pipeline_root.startswith(tuple(_STAGED)):
        raise Rejected(f"unsupported storage scheme: {pipeline_root}")
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    if unknown := set(parameters) - set(declared):
        raise Rejected(f"unknown parameters {unknown}")
    values = {}
    for name, one in declared.items():
        if name in parameters:
            values[name] = parameter_of_run(name, parameters[name], one["parameterType"])
        elif "defaultValue" in one:
            values[name] = one["defaultValue"]
        else:
            raise Rejected(f"input parameter {name} requires a value")
    tasks = spec["root"]["dag"]["tasks"]
    for name, task in tasks.items():
        executor = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        if "resolver" in spec["deploymentSpec"]["executors"][executor]:
            raise Rejected("resolver executors not implemented")
        for upstream in task.get("dependentTasks", ()):
            if upstream not in tasks:
                raise Rejected(f"{name} depends on {upstream}, which is no task")
        for one in task.get("inputs", {}).get("parameters", {}).values():
            producer = one.get("taskOutputParameter", {}).get("producerTask")
            if producer and producer not in task.get("dependentTasks", ()):
                raise Rejected(
                    f"{name} takes a parameter from {producer}, which it does not follow"
                )
    return values


def _cache_key(container: Json, component: Json, executor_input: Json) -> str:
    inputs, outputs = executor_input["inputs"], executor_input["outputs"]
    wiped = {
        key: {k: v for k, v in listed["artifacts"][0].items() if k != "uri"}
        for key, listed in outputs["artifacts"].items()
    }
    names = {
        key: [one["name"] for one in listed["artifacts"]]
        for key, listed in inputs["artifacts"].items()
    }
    key = [
        names,
        inputs["parameterValues"],
        wiped,
        component.get("outputDefinitions", {}).get("parameters", {}),
        container["image"],
        container["command"],
        container.get("args", ()),
    ]
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _failed(log: str, reason: str) -> TaskRun:
    last = f"failed to execute component: {reason}"
    return TaskRun("failed", "\n".join([*log.splitlines(), last]), exit_code=1)


def _ended(code: int) -> str:
    return f"exit status {code}" if code > 0 else f"signal: {signal.strsignal(-code)}".lower()


def _read_output(file: Path) -> Json:
    if not file.is_file():
        return {}

    def refuse(constant: str) -> None:
        raise Rejected(f"failed to unmarshall ExecutorOutput in file {file}: {constant}")

    return json.loads(file.read_text(), parse_constant=refuse)


def _listed(side: Json, key: str) -> list[Json]:
    return side.get("artifacts", {}).get(key, {}).get("artifacts", [])


def _artifacts_of(side: Json) -> list[Json]:
    return [one for listed in side["artifacts"].values() for one in listed["artifacts"]]


def _staged(uri: str, scratch: Path) -> Path:
    for scheme, folder in _STAGED.items():
        if uri.startswith(scheme):
            return scratch / folder / uri.removeprefix(scheme)
    raise Rejected(f"unsupported storage scheme: {uri}")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copyfile(source, target)
        return
    # An object store has no empty folders.
    for file in (path for path in source.rglob("*") if path.is_file()):
        copy_of = target / file.relative_to(source)
        copy_of.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy_of)


def read_package(path: Path) -> list[Json]:
    """Reads a package's documents."""
    return list(yaml.safe_load_all(path.read_text()))
