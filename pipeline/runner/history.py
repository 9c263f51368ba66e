"""The runs that ML Metadata records."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from components.contracts.outcome import Outcome
from pipeline.runner.lock import Holder, holder
from pipeline.runner.metadata import MetadataLocation, locate, open_store
from pipeline.runner.metadata_config import MetadataConfig
from pipeline.runner.result import RunResult
from pipeline.runner.workspace import below_root

RUNNING = "running"

_RUN_CONTEXT = "pipeline_run"
_NODE_CONTEXT = "node"
_RESULT_PROPERTY = "covers_result"
_PRUNED_PROPERTY = "covers_pruned"
_OUTPUT = metadata_store_pb2.Event.OUTPUT
_LIVE = metadata_store_pb2.Artifact.LIVE


@dataclasses.dataclass(frozen=True)
class PastRun:
    """One run in ML Metadata.

    Attributes:
        run_id: its identity.
        started: when it began.
        pipeline: the pipeline's name; empty if it ended before TFX knew of it.
        result: its result; None while it runs and after it was killed.
        is_running: whether it is running now.
        is_pruned: whether `covers prune` has removed what only it needed.
    """

    run_id: str
    started: datetime.datetime
    pipeline: str
    result: RunResult | None
    is_running: bool = False
    is_pruned: bool = False

    @property
    def verdict(self) -> str:
        """The value of an `Outcome`, or `running`; a run without a result was interrupted."""
        if self.is_running:
            return RUNNING
        return (self.result.outcome if self.result else Outcome.INTERRUPTED).value


class RunHistory:
    """Reads and annotates the runs of a pipeline root, wherever it has been moved to.

    Raises:
        ConfigError: the server of ML Metadata refuses the user, the password or the database.
        DamagedArtifact: the database in the pipeline root is damaged.
        DeploymentError: the server is away.
        MachineError: the database in the pipeline root cannot be opened.
    """

    def __init__(self, location: MetadataLocation) -> None:
        self._root = location.pipeline_root.resolve()
        self._suffix = location.suffix
        self._store = open_store(location)

    def runs(self) -> list[PastRun]:
        """Lists all runs of the pipeline root, newest first."""
        contexts = [
            context
            for context in self._store.get_contexts_by_type(_RUN_CONTEXT)
            if context.name.endswith(self._suffix)
        ]
        # Ids grow even when the clock goes back.
        newest_first = sorted(contexts, key=lambda context: context.id, reverse=True)
        here = holder(self._root)
        past = [self._past_run(context, here) for context in newest_first]
        if here and here.run_id and not any(run.is_running for run in past):
            # It is too young for TFX to know of it.
            past.insert(0, PastRun(here.run_id, here.started, here.pipeline, None, is_running=True))
        return past

    def outputs(self, run_id: str, node: str) -> dict[str, metadata_store_pb2.Artifact]:
        """Returns output key -> artifact of a node that finished in a run, or was cached.

        Artifacts that were removed since are left out.
        """
        context = self._context(run_id)
        if context is None:
            return {}
        for execution in self._store.get_executions_by_context(context.id):
            if not self._is_of_node(execution, node):
                continue
            events = self._store.get_events_by_execution_ids([execution.id])
            keys = {e.artifact_id: e.path.steps[0].key for e in events if e.type == _OUTPUT}
            artifacts = self._store.get_artifacts_by_id(list(keys)) if keys else []
            for artifact in artifacts:
                artifact.uri = str(below_root(artifact.uri, self._root))
            return {keys[each.id]: each for each in artifacts if each.state == _LIVE}
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

    def artifacts(self, run_ids: Iterable[str]) -> set[int]:
        """Returns the ids of all artifacts that some runs made, took from the cache or read."""
        executions = [
            execution.id
            for context in map(self._context, run_ids)
            if context
            for execution in self._store.get_executions_by_context(context.id)
        ]
        events = self._store.get_events_by_execution_ids(executions) if executions else []
        return {event.artifact_id for event in events}

    def mark_pruned(self, run_ids: Iterable[str]) -> None:
        """Notes with some runs that what only they needed is removed."""
        contexts = [context for context in map(self._context, run_ids) if context]
        for context in contexts:
            context.custom_properties[_PRUNED_PROPERTY].int_value = 1
        self._store.put_contexts(contexts)

    def _past_run(self, context: metadata_store_pb2.Context, here: Holder | None) -> PastRun:
        text = context.custom_properties[_RESULT_PROPERTY].string_value
        result = self._where_it_is(RunResult.from_json(text)) if text else None
        parents = self._store.get_parent_contexts_by_context(context.id) if not result else ()
        return PastRun(
            run_id=context.name,
            started=datetime.datetime.fromtimestamp(context.create_time_since_epoch / 1000),
            pipeline=result.pipeline
            if result
            else "".join(parent.name.removesuffix(self._suffix) for parent in parents),
            result=result,
            is_running=bool(here and _is_of(context.name, here)),
            is_pruned=bool(context.custom_properties[_PRUNED_PROPERTY].int_value),
        )

    def _where_it_is(self, result: RunResult) -> RunResult:
        def found(recorded: str | None) -> str | None:
            return str(below_root(recorded, self._root)) if recorded else None

        report = found(result.report)
        if report and not Path(report).is_relative_to(self._root):
            report = None  # that of the root from which this one was copied is none of its own
        return dataclasses.replace(
            result,
            report=report,
            pushed_model=found(result.pushed_model),
            log_file=found(result.log_file) or "",
        )

    def _context(self, run_id: str) -> metadata_store_pb2.Context | None:
        return self._store.get_context_by_type_and_name(_RUN_CONTEXT, run_id)

    def _is_of_node(self, execution: metadata_store_pb2.Execution, node: str) -> bool:
        contexts = self._store.get_contexts_by_execution(execution.id)
        names = [self._node_name(context) for context in contexts]
        return node in names

    def _node_name(self, context: metadata_store_pb2.Context) -> str | None:
        # TFX names a node's context "<pipeline>.<node>".
        return context.name.rpartition(".")[2] if context.type == _NODE_CONTEXT else None


def _is_of(run_id: str, here: Holder) -> bool:
    # The lock is taken before it is known whether a run's id gets a suffix.
    return bool(here.run_id) and f"{run_id}-".startswith(f"{here.run_id}-")


def open_history(pipeline_root: Path) -> RunHistory | None:
    """Opens the history of a pipeline root; None before its first run.

    Raises:
        CoversError: see `RunHistory`.
    """
    location = locate(pipeline_root)
    return RunHistory(location) if location else None


def past_runs(pipeline_root: Path) -> list[PastRun]:
    """Lists the runs of a pipeline root, newest first.

    Raises:
        CoversError: see `RunHistory`.
    """
    history = open_history(pipeline_root)
    return history.runs() if history else []


def shared_runs(config: MetadataConfig, pipeline_root: Path) -> list[PastRun]:
    """Lists the runs of all pipeline roots on a configuration's server, newest first.

    Without a server, they are those of the one pipeline root.

    Raises:
        CoversError: see `RunHistory`.
    """
    if config.mysql is None:
        return past_runs(pipeline_root)
    return RunHistory(MetadataLocation(pipeline_root, config.mysql)).runs()
