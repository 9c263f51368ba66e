"""Runs as ML Metadata and the disk record them, without running anything."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from components.contracts.outcome import Outcome
from pipeline.runner.history import RunHistory
from pipeline.runner.metadata import MetadataLocation, open_store
from pipeline.runner.result import RunResult
from pipeline.runner.workspace import Workspace

ARTIFACT_BYTES = 1000


class RecordedRuns:
    """Records runs in a pipeline root as TFX and the runner do.

    Attributes:
        root: the pipeline root.
        store: ML Metadata.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.store = open_store(MetadataLocation(root))
        self._numbers = itertools.count(1)
        self._execution_type = self.store.put_execution_type(
            metadata_store_pb2.ExecutionType(name="node")
        )
        self._artifact_type = self.store.put_artifact_type(
            metadata_store_pb2.ArtifactType(name="anything")
        )

    def begin(self, pipeline: str = "tiny") -> str:
        """Returns the id of a new run."""
        run_id = f"20260101-0000{next(self._numbers):02d}-000000"
        parent = self._context("pipeline", pipeline)
        run = self._context("pipeline_run", run_id)
        self.store.put_parent_contexts(
            [metadata_store_pb2.ParentContext(parent_id=parent, child_id=run)]
        )
        log = Workspace(self.root, pipeline).log_file(run_id)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("a log")
        return run_id

    def execute(
        self,
        run_id: str,
        node: str = "Trainer",
        *,
        pipeline: str = "tiny",
        state: int = metadata_store_pb2.Execution.COMPLETE,
        cached: Path | None = None,
        key: str = "model",
    ) -> Path:
        """Adds the execution of a node; returns its artifact, with a file in it."""
        execution = metadata_store_pb2.Execution(
            type_id=self._execution_type, last_known_state=state
        )
        contexts = self.store.get_contexts_by_id(
            [
                self._context("pipeline_run", run_id),
                self._context("node", f"{pipeline}.{node}"),
            ]
        )
        number, _, _ = self.store.put_execution(execution, [], contexts)
        if cached:
            [artifact] = self.store.get_artifacts_by_uri(str(cached))
            self._output(number, artifact.id, key)
            return cached
        folder = self.root / pipeline / node / "model" / str(number)
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(ARTIFACT_BYTES))
        if state == metadata_store_pb2.Execution.COMPLETE:
            artifact = metadata_store_pb2.Artifact(
                type_id=self._artifact_type,
                uri=str(folder),
                state=metadata_store_pb2.Artifact.LIVE,
            )
            self._output(number, self.store.put_artifacts([artifact])[0], key)
        return folder

    def end(self, run_id: str, pipeline: str = "tiny", **facts: Any) -> None:
        """Records how a run ended: as pushed, if `facts` do not say otherwise."""
        result = {
            "run_id": run_id,
            "pipeline": pipeline,
            "data": "covers",
            "outcome": Outcome.PUSHED,
            "stages": {},
            "seconds": 1.0,
            "log_file": str(Workspace(self.root, pipeline).log_file(run_id)),
            **facts,
        }
        RunHistory(MetadataLocation(self.root)).record(RunResult(**result))

    def run(self, pipeline: str = "tiny", cached: Path | None = None, **facts: Any) -> Path:
        """Records a whole run of one node; returns its artifact."""
        run_id = self.begin(pipeline)
        state = metadata_store_pb2.Execution
        artifact = self.execute(
            run_id,
            pipeline=pipeline,
            state=state.CACHED if cached else state.COMPLETE,
            cached=cached,
        )
        self.end(run_id, pipeline, **facts)
        return artifact

    def artifact_state(self, folder: Path) -> str:
        """Returns what ML Metadata says about an artifact."""
        [artifact] = self.store.get_artifacts_by_uri(str(folder))
        return metadata_store_pb2.Artifact.State.Name(artifact.state)

    def _output(self, execution: int, artifact: int, key: str) -> None:
        event = metadata_store_pb2.Event(
            execution_id=execution, artifact_id=artifact, type=metadata_store_pb2.Event.OUTPUT
        )
        event.path.steps.add().key = key
        self.store.put_events([event])

    def _context(self, kind: str, name: str) -> int:
        known = self.store.get_context_by_type_and_name(kind, name)
        if known:
            return int(known.id)
        context_type = metadata_store_pb2.ContextType(name=kind)
        type_id = self.store.put_context_type(
            context_type, can_add_fields=True, can_omit_fields=True
        )
        context = metadata_store_pb2.Context(type_id=type_id, name=name)
        return int(self.store.put_contexts([context])[0])
