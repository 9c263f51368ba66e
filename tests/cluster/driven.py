"""A compiled package run by the driver and the launcher of Kubeflow Pipelines.

What the API server and Argo's controller do is done here: which parameters a run has, which task is
next, and with which arguments the driver starts (backend/src/v2/compiler/argocompiler, at 2.17.0).
"""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from pods import Node
from services import HOST

Json = dict[str, Any]

DRIVER = "/kfp-launcher/driver"
_OUTPUTS = "/tmp/outputs"
_LAUNCHER_LINE = "failed to execute component: "


class DriverFailed(Exception):
    """The driver does not take the package, or could not reach something."""


@dataclasses.dataclass
class TaskRun:
    """What became of one task.

    Attributes:
        state: `succeeded`, `cached`, `failed` or `omitted`.
        log: of its pod.
        exit_code: of its pod.
        artifacts: output -> (URI, its metadata).
        seconds: driver and pod.
    """

    state: str
    log: str = ""
    exit_code: int = 0
    artifacts: dict[str, tuple[str, Json]] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def reason(self) -> str:
        """Returns what the launcher says of the command in its last line."""
        *_, last = self.log.splitlines() or [""]
        return last.partition(_LAUNCHER_LINE)[2]


class Cluster:
    """Runs packages, one after another, with one cache and one ML Metadata.

    Args:
        node: where pods run.
        grpc_port: of ML Metadata and of the API server's services.
    """

    def __init__(self, node: Node, grpc_port: int) -> None:
        self.node, self._port = node, grpc_port
        config = metadata_store_pb2.MetadataStoreClientConfig(host=HOST, port=grpc_port)
        self._metadata = MetadataStore(config)

    def run(self, documents: list[Json], parameters: Mapping[str, Any]) -> dict[str, TaskRun]:
        """Runs a package; returns task -> what became of it.

        Raises:
            DriverFailed: ends with the driver's log.
        """
        spec, *platform = documents
        declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        defaults = {
            name: one["defaultValue"] for name, one in declared.items() if "defaultValue" in one
        }
        run = _Run(self, spec, platform[0] if platform else {})
        return run.execute({**defaults, **parameters})

    def outputs(self, execution: int) -> dict[str, tuple[str, Json]]:
        """Returns an execution's output artifacts from ML Metadata."""
        store = self._metadata
        events = [
            event
            for event in store.get_events_by_execution_ids([execution])
            if event.type == metadata_store_pb2.Event.OUTPUT
        ]
        key_of = {event.artifact_id: event.path.steps[0].key for event in events}
        return {
            key_of[artifact.id]: (
                artifact.uri,
                {
                    key: getattr(value, value.WhichOneof("value"))
                    for key, value in artifact.custom_properties.items()
                },
            )
            for artifact in store.get_artifacts_by_id(list(key_of))
        }


class _Run:
    def __init__(self, cluster: Cluster, spec: Json, platform: Json) -> None:
        self._cluster, self._spec = cluster, spec
        self._id = str(uuid.uuid4())
        self._tasks: Json = spec["root"]["dag"]["tasks"]
        kubernetes = platform.get("platforms", {}).get("kubernetes", {})
        self._placed: Json = kubernetes.get("deploymentSpec", {}).get("executors", {})
        self._dag = 0

    def execute(self, parameters: Mapping[str, Any]) -> dict[str, TaskRun]:
        root = {key: value for key, value in self._spec["root"].items() if key != "dag"}
        wrote = self._drive(
            "root-driver",
            type="ROOT_DAG",
            component=root,
            runtime_config={
                "parameterValues": dict(parameters),
                "gcsOutputDirectory": self._spec.get("defaultPipelineRoot", ""),
            },
            execution_id_path=f"{_OUTPUTS}/execution-id",
            iteration_count_path=f"{_OUTPUTS}/iteration-count",
        )
        self._dag = int(wrote["execution-id"])
        runs: dict[str, TaskRun] = {}
        waiting = {name: set(task.get("dependentTasks", ())) for name, task in self._tasks.items()}
        running: dict[Future[TaskRun], str] = {}
        with ThreadPoolExecutor(max_workers=2) as pool:
            while waiting or running:
                for name in [n for n, upstream in waiting.items() if upstream <= set(runs)]:
                    upstream = waiting.pop(name)
                    if any(runs[one].state in ("failed", "omitted") for one in upstream):
                        runs[name] = TaskRun("omitted")
                    else:
                        running[pool.submit(self._task, name)] = name
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    runs[running.pop(future)] = future.result()
        return runs

    def _task(self, name: str) -> TaskRun:
        started = time.monotonic()
        task = self._tasks[name]
        component = self._spec["components"][task["componentRef"]["name"]]
        label = component["executorLabel"]
        wrote = self._drive(
            f"{name}-driver".lower(),
            type="CONTAINER",
            component=component,
            task=task,
            task_name=name,
            dag_execution_id=self._dag,
            container=self._spec["deploymentSpec"]["executors"][label]["container"],
            kubernetes_config=self._placed.get(label, ""),
            execution_id_path=f"{_OUTPUTS}/execution-id",
            cached_decision_path=f"{_OUTPUTS}/cached-decision",
            pod_spec_patch_path=f"{_OUTPUTS}/pod-spec-patch",
        )
        finished = TaskRun("cached")
        if wrote["cached-decision"] != "true":
            code, log, _ = self._cluster.node.run_patched(
                name.lower(), json.loads(wrote["pod-spec-patch"])
            )
            finished = TaskRun("failed" if code else "succeeded", log, code)
        finished.artifacts = self._cluster.outputs(int(wrote["execution-id"]))
        finished.seconds = time.monotonic() - started
        return finished

    def _drive(self, pod: str, **options: Any) -> dict[str, str]:
        """Runs the driver in a pod; returns name -> content of the files that it wrote."""
        port = str(self._cluster._port)
        everything = {
            "pipeline_name": self._spec["pipelineInfo"]["name"],
            "run_id": self._id,
            "run_name": f"run-{self._id[:8]}",
            "run_display_name": "a run",
            "pipeline_job_create_time_utc": "2026-01-01T00:00:00Z",
            "iteration_index": -1,
            "condition_path": f"{_OUTPUTS}/condition",
            "ml_pipeline_server_address": HOST,
            "ml_pipeline_server_port": port,
            "mlmd_server_address": HOST,
            "mlmd_server_port": port,
            "http_proxy": "",
            "https_proxy": "",
            "no_proxy": "",
            "log_level": 1,
            "publish_logs": "true",
            "cache_disabled": "false",
            "ml_pipeline_tls_enabled": "false",
            "metadata_tls_enabled": "false",
            "ca_cert_path": "",
            **options,
        }
        command = [DRIVER, *(f"--{name}={_word(value)}" for name, value in everything.items())]
        code, log, root = self._cluster.node.run(pod, command, {})
        if code:
            raise DriverFailed(log)
        files = (root / _OUTPUTS.lstrip("/")).iterdir()
        return {file.name: file.read_text() for file in files}


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)
