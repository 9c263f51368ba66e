"""The runs that ML Metadata records."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from components.contracts.outcome import Outcome
from pipeline.runner.metadata import MetadataLocation, locate, open_store
from pipeline.runner.metadata_config import MetadataConfig
from pipeline.runner.result import RunResult

_RUN_CONTEXT = "pipeline_run"
_NODE_CONTEXT = "node"
_RESULT_PROPERTY = "covers_result"
_OUTPUT = metadata_store_pb2.Event.OUTPUT


@dataclasses.dataclass(frozen=True)
class PastRun:
    """One run in ML Metadata; `result` is None while it runs and after it was killed."""

    run_id: str
    started: datetime.datetime
    result: RunResult | None

    @property
    def outcome(self) -> Outcome:
        """How it ended; a run without a result was interrupted."""
        return self.result.outcome if self.result else Outcome.INTERRUPTED


class RunHistory:
    """Reads and annotates the runs of a pipeline root.

    Raises:
        ConfigError: the server of ML Metadata refuses the user, the password or the database.
        DeploymentError: the server is away.
    """

    def __init__(self, location: MetadataLocation) -> None:
        self._suffix = location.suffix
        self._store = open_store(location)

    def runs(self) -> list[PastRun]:
        """Lists all runs of the pipeline root, newest first."""
        contexts = [
            context
            for context in self._store.get_contexts_by_type(_RUN_CONTEXT)
            if context.name.endswith(self._suffix)
        ]
        newest_first = sorted(contexts, key=lambda c: c.create_time_since_epoch, reverse=True)
        return [_past_run(context) for context in newest_first]

    def outputs(self, run_id: str, node: str) -> dict[str, metadata_store_pb2.Artifact]:
        """Returns output key -> artifact of a node that finished in a run, or was cached."""
        context = self._context(run_id)
        if context is None:
            return {}
        for execution in self._store.get_executions_by_context(context.id):
            if not self._is_of_node(execution, node):
                continue
            events = self._store.get_events_by_execution_ids([execution.id])
            keys = {e.artifact_id: e.path.steps[0].key for e in events if e.type == _OUTPUT}
            artifacts = self._store.get_artifacts_by_id(list(keys)) if keys else []
            return {keys[artifact.id]: artifact for artifact in artifacts}
        return {}

    def record(self, result: RunResult) -> None:
        """Keeps the result with the run, also of one that ended before TFX registered it."""
        context = self._context(result.run_id)
        if context is None:
            run = metadata_store_pb2.ContextType(name=_RUN_CONTEXT)
            type_id = self._store.put_context_type(run, can_add_fields=True, can_omit_fields=True)
            context = metadata_store_pb2.Context(type_id=type_id, name=result.run_id)
        context.custom_properties[_RESULT_PROPERTY].string_value = result.to_json()
        self._store.put_contexts([context])

    def _context(self, run_id: str) -> metadata_store_pb2.Context | None:
        return self._store.get_context_by_type_and_name(_RUN_CONTEXT, run_id)

    def _is_of_node(self, execution: metadata_store_pb2.Execution, node: str) -> bool:
        contexts = self._store.get_contexts_by_execution(execution.id)
        names = [self._node_name(context) for context in contexts]
        return node in names

    def _node_name(self, context: metadata_store_pb2.Context) -> str | None:
        # TFX names a node's context "<pipeline>.<node>".
        return context.name.rpartition(".")[2] if context.type == _NODE_CONTEXT else None


def open_history(pipeline_root: Path) -> RunHistory | None:
    """Opens the history of a pipeline root; None before its first run.

    Raises:
        ConfigError, DeploymentError: see `RunHistory`.
    """
    location = locate(pipeline_root)
    return RunHistory(location) if location else None


def past_runs(pipeline_root: Path) -> list[PastRun]:
    """Lists the runs of a pipeline root, newest first.

    Raises:
        ConfigError, DeploymentError: see `RunHistory`.
    """
    history = open_history(pipeline_root)
    return history.runs() if history else []


def shared_runs(config: MetadataConfig, pipeline_root: Path) -> list[PastRun]:
    """Lists the runs of all pipeline roots on a configuration's server, newest first.

    Without a server, they are those of the one pipeline root.

    Raises:
        ConfigError, DeploymentError: see `RunHistory`.
    """
    if config.mysql is None:
        return past_runs(pipeline_root)
    return RunHistory(MetadataLocation(pipeline_root, config.mysql)).runs()


def _past_run(context: metadata_store_pb2.Context) -> PastRun:
    text = context.custom_properties[_RESULT_PROPERTY].string_value
    started = datetime.datetime.fromtimestamp(context.create_time_since_epoch / 1000)
    return PastRun(context.name, started, RunResult.from_json(text) if text else None)
