"""Runs the pipeline on this machine: LocalDagRunner, progress and a verdict."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from components.contracts import nodes
from components.contracts.decisions import DataRefused, Decision, read_decision
from components.contracts.evaluation_record import read_evaluation
from components.contracts.files import split_folder
from components.contracts.label_schema import NEWEST_SPAN_SPLIT, LabelSchema
from components.contracts.mlflow_runs.client import check_installed
from components.contracts.outcome import Outcome
from components.contracts.pushed_models import check_destination
from components.contracts.quarantine import IngestSummary, read_summary
from components.support import progress
from components.support.compat import LOCAL_BEAM_ARGS
from components.support.engine_errors import engine_error
from components.support.engine_jobs import jobs_end_with_their_run
from components.support.errors import ConfigError, CoversError, ModelNotBlessed
from components.support.machine import machine_error
from components.support.quiet import libraries_log_to
from components.support.signals import interruptible
from components.support.texts import shortened
from pipeline.config import PipelineConfig
from pipeline.engine.reach import check_reachable
from pipeline.runner.build_check import check_buildable_once
from pipeline.runner.closing import describe_ingest, describe_result
from pipeline.runner.console import RunConsole
from pipeline.runner.deferred_imports import deferred_imports
from pipeline.runner.fingerprints import fingerprint_components
from pipeline.runner.logging_to_mlflow import log_to_mlflow
from pipeline.runner.notifying import notify_of
from pipeline.runner.result import RunResult
from pipeline.runner.stages import StageWatcher
from pipeline.runner.sweep import sweep
from pipeline.runner.training_options import training_options, tuning_options
from pipeline.runner.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.pipeline import RunInputs
    from pipeline.runner.history import RunHistory
    from pipeline.runner.metadata import MetadataLocation

_PREPARE = "Prepare"
_SECONDS_TO_BE_WRONG = 0.2


def run_locally(
    config: PipelineConfig,
    *,
    data: Path | str | None,
    pipeline_root: Path,
    console: TextIO,
    use_cache: bool = True,
) -> RunResult:
    """Runs the pipeline and reports to a person.

    Args:
        config: what the pipeline does.
        data: what to ingest, a path or a URL; None takes the config's data or, if it has none, a
            generated sample.
        pipeline_root: where everything is stored.
        console: what the user reads; everything else goes to a log file.
        use_cache: False runs every node again.

    Returns:
        The outcome, including errors that a user can meet.

    Raises:
        ConfigError: the label schema, the pipeline root or the access to ML Metadata is wrong,
            MLflow's client is missing, or there are no data; nothing was begun.
        DeploymentError: the server of ML Metadata is away; nothing was begun.
        OSError: the log file cannot be written; nothing was begun.
    """
    if config.mlflow:
        check_installed()
    workspace = Workspace(pipeline_root.resolve(), config.name)
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    with interruptible(), workspace.locked(now):
        from pipeline.runner.metadata import locate_for_run

        metadata = locate_for_run(config.metadata, workspace.root)
        run_id = now + metadata.suffix
        with libraries_log_to(workspace.log_file(run_id), console) as stream:
            return _Run(config, workspace, metadata, run_id, stream).run(data, use_cache)


class _Run:
    def __init__(
        self,
        config: PipelineConfig,
        workspace: Workspace,
        metadata: MetadataLocation,
        run_id: str,
        stream: TextIO,
    ) -> None:
        self._config = config
        self._workspace = workspace
        self._metadata = metadata
        self._run_id = run_id
        self._console = RunConsole(stream)
        self._stages: dict[str, str] = {}
        self._started = time.monotonic()

    def run(self, data: Path | str | None, use_cache: bool) -> RunResult:
        labels = LabelSchema.from_text(self._config.schema_text())
        data = data or self._config.data or self._sample(labels)
        self._console.say(f"covers: pipeline '{self._config.name}' on {data}", style="bold")
        error: BaseException | None = None
        try:
            check_destination(self._workspace.push_destination)
            check_reachable(self._config.engine)
            sweep(self._metadata, self._console.say)
            launch = self._prepare(labels, data, use_cache)
            self._execute(launch, self._history())
        except (Exception, KeyboardInterrupt) as caught:
            self._console.close()
            error = caught
        result = self._close(data, error)
        for line, style in describe_result(result):
            self._console.say(line, style)
        logged = log_to_mlflow(self._config.mlflow, result, self._history, self._workspace)
        if logged:
            self._console.say(f"  {logged}", "dim" if logged.startswith("Logged") else "yellow")
        if told := notify_of(self._config.notifications, result):
            self._console.say(f"  {told}", "dim")
        return result

    def _close(self, data: Path | str, error: BaseException | None) -> RunResult:
        """Makes the result and keeps it with its report, as far as the machine lets it."""
        result = self._bare_result(data, error)
        try:
            history = self._history()
            result = self._result(result, history, error)
            result = self._with_report(result, history)
            history.record(result)
        except (Exception, KeyboardInterrupt) as fault:
            what = _explain(fault, self._workspace)
            if what != result.error:
                result = dataclasses.replace(result, faults=(*result.faults, what))
            if isinstance(fault, KeyboardInterrupt) and result.outcome.ended_early:
                result = dataclasses.replace(result, outcome=Outcome.INTERRUPTED)
        return result

    def _history(self) -> RunHistory:
        from pipeline.runner.history import RunHistory

        return RunHistory(self._metadata)

    def _sample(self, labels: LabelSchema) -> Path:
        from pipeline.commands.sample import write_sample

        sample = self._config.sample
        if sample is None:
            raise ConfigError(
                f"Expected data for pipeline '{self._config.name}'. Received: none. "
                "Give a manifest or a folder with --data."
            )
        directory = self._workspace.sample(sample.images, sample.seed, labels.genres)
        return write_sample(directory, genres=labels.genres, images=sample.images, seed=sample.seed)

    def _prepare(
        self, labels: LabelSchema, data: Path | str, use_cache: bool
    ) -> Callable[[], None]:
        """Checks and compiles the pipeline; returns what runs it."""
        self._console.stage_started(_PREPARE)
        try:
            with self._listening():
                launch = self._compile(labels, data, use_cache)
        except BaseException:
            self._console.stage_finished(_PREPARE, "failed")
            raise
        self._console.stage_finished(_PREPARE, "done", "data fingerprint, TensorFlow Extended")
        return launch

    def _compile(
        self, labels: LabelSchema, data: Path | str, use_cache: bool
    ) -> Callable[[], None]:
        from components.cover_example_gen.fingerprint import fingerprint_data

        with ThreadPoolExecutor(1) as pool, deferred_imports(), _without_arguments():
            data_fingerprint = pool.submit(
                fingerprint_data,
                data,
                self._config.ingest,
                largest_file=labels.largest_file,
                stage=_PREPARE,
            )
            if wait([data_fingerprint], _SECONDS_TO_BE_WRONG).done:
                data_fingerprint.result()  # a path that is wrong is told at once
            from pipeline.pipeline import create_pipeline
            from pipeline.runner.launching import compile_for_run, launch

            passed = self._workspace.checked if use_cache else None
            check_buildable_once(self._config, len(labels.genres), passed)
            inputs = self._inputs(data, data_fingerprint.result())
            tfx_pipeline = create_pipeline(self._config, inputs)
            tfx_pipeline.enable_cache = use_cache
            ir = compile_for_run(tfx_pipeline, self._metadata, self._run_id)
        self._stages = {node.pipeline_node.node_info.id: "not run" for node in ir.nodes}
        return functools.partial(launch, ir, self._metadata, self._config.beam_args)

    def _inputs(self, data: Path | str, data_fingerprint: str) -> RunInputs:
        from pipeline.pipeline import RunInputs

        features = str(self._workspace.features)
        return RunInputs(
            pipeline_root=str(self._workspace.artifacts),
            push_destination=str(self._workspace.push_destination),
            data=str(data.resolve() if isinstance(data, Path) else data),
            data_fingerprint=data_fingerprint,
            schema_text=self._config.schema_text(),
            training=training_options(self._config, str(self._workspace.checkpoints), features),
            tuning=tuning_options(self._config, features),
            code_fingerprints=fingerprint_components(),
            # Those of the engine are no cache key: the same results come from any engine.
            beam_args=(*LOCAL_BEAM_ARGS, *self._config.beam_pipeline_args),
        )

    def _execute(self, launch: Callable[[], None], history: RunHistory) -> None:
        from absl import logging as absl_logging

        def finished(node: str, state: str) -> None:
            self._stages[node] = state
            self._console.stage_finished(node, state, self._note(node, history))

        absl_logging.set_verbosity(absl_logging.INFO)
        watcher = StageWatcher(self._console.stage_started, finished)
        logger = logging.getLogger("absl")
        logger.addHandler(watcher)
        try:
            with _without_arguments(), self._listening(), self._ending_jobs():
                launch()
        except BaseException:
            if watcher.running:
                self._stages[watcher.running] = "failed"
                self._console.stage_finished(watcher.running, "failed")
            for node, state in self._stages.items():
                if state == "not run":
                    self._console.stage_finished(node, state)
            raise
        finally:
            logger.removeHandler(watcher)

    def _ending_jobs(self) -> AbstractContextManager[None]:
        return nullcontext() if self._config.engine.is_local else jobs_end_with_their_run()

    def _listening(self) -> AbstractContextManager[None]:
        return progress.listening(self._console.stage_progressed, self._console.stage_warned)

    def _note(self, node: str, history: RunHistory) -> str:
        if node == nodes.COVER_EXAMPLE_GEN:
            summary = self._summary(history)
            return describe_ingest(summary) if summary else ""
        if node == nodes.EXAMPLE_VALIDATOR:
            return self._drift(history)
        return ""

    def _drift(self, history: RunHistory) -> str:
        from components.data_gate.refusals import describe_drift, read_anomalies

        summary = self._summary(history)
        outputs = history.outputs(self._run_id, nodes.EXAMPLE_VALIDATOR)
        if not summary or not summary.drift_examples or nodes.ANOMALIES not in outputs:
            return ""
        folder = split_folder(outputs[nodes.ANOMALIES].uri, NEWEST_SPAN_SPLIT)
        return describe_drift(summary, read_anomalies(folder))

    def _summary(self, history: RunHistory) -> IngestSummary | None:
        outputs = history.outputs(self._run_id, nodes.COVER_EXAMPLE_GEN)
        return read_summary(outputs[nodes.QUARANTINE].uri) if nodes.QUARANTINE in outputs else None

    def _bare_result(self, data: Path | str, error: BaseException | None) -> RunResult:
        return RunResult(
            run_id=self._run_id,
            pipeline=self._config.name,
            data=str(data),
            outcome=Outcome.of_error(error) if error else Outcome.FAILED,
            stages=self._stages,
            seconds=round(time.monotonic() - self._started, 1),
            log_file=str(self._workspace.log_file(self._run_id)),
            decision=error.decision if isinstance(error, DataRefused) else None,
            error=_explain(error, self._workspace) if error else "",
        )

    def _result(
        self, bare: RunResult, history: RunHistory, error: BaseException | None
    ) -> RunResult:
        """Adds what the nodes decided; a fault after the verdict does not change it."""
        summary = self._summary(history)
        ingest = dataclasses.asdict(summary) if summary else None
        result = dataclasses.replace(bare, ingest=ingest)
        pushed = history.outputs(self._run_id, nodes.PUSHER)
        is_refused = isinstance(error, ModelNotBlessed)  # by Pusher
        if not pushed and not is_refused:
            return result
        uri = history.outputs(self._run_id, nodes.EVALUATOR)[nodes.EVALUATION].uri
        if is_refused:
            return dataclasses.replace(result, evaluation=read_evaluation(uri).to_dict())
        pushed_model = _pushed_model(pushed[nodes.PUSHED_MODEL])
        return dataclasses.replace(
            result,
            outcome=Outcome.PUSHED if pushed_model else Outcome.NOT_BLESSED,
            decision=_decision(uri, history.outputs(self._run_id, nodes.INFRA_VALIDATOR)),
            evaluation=read_evaluation(uri).to_dict(),
            pushed_model=pushed_model,
            error="",
            faults=(bare.error,) if error else (),
        )

    def _with_report(self, result: RunResult, history: RunHistory) -> RunResult:
        from pipeline.commands.reports import report_of_node, write_early_report

        with deferred_imports():  # a run that ends early may not have imported anything yet
            page = report_of_node(history, self._run_id) or write_early_report(
                self._workspace.report_folder(self._run_id), history, self._config, result
            )
        return dataclasses.replace(result, report=str(page) if page else None)


def _decision(evaluation: str, outputs: Mapping[str, Any]) -> Decision:
    """Returns the evaluation's decision or, if that passed and it did not, the serving check's."""
    decision = read_decision(evaluation)
    if not decision.passed or nodes.BLESSING not in outputs:  # in runs before there was a check
        return decision
    served = read_decision(outputs[nodes.BLESSING].uri)
    return decision if served.passed else dataclasses.replace(served, warnings=decision.warnings)


def _pushed_model(artifact: Any) -> str | None:
    properties = artifact.custom_properties
    if not properties[nodes.PUSHED].int_value:
        return None
    return str(properties[nodes.PUSHED_DESTINATION].string_value)


@contextmanager
def _without_arguments() -> Iterator[None]:
    # TFX hands sys.argv to absl and to Beam, which do not know the options of `covers`.
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        yield
    finally:
        sys.argv = arguments


def _explain(error: BaseException, workspace: Workspace) -> str:
    if isinstance(error, KeyboardInterrupt):
        by = f" by {error}" if str(error) else ""
        return f"Interrupted{by}. Run again: finished stages are taken from the cache."
    if isinstance(error, CoversError):
        logging.getLogger("covers").error("%s: %s", type(error).__name__, error)
        return str(error)
    traceback.print_exception(type(error), error, error.__traceback__)
    if ended := engine_error(error):
        return str(ended)
    if refused := machine_error(error, workspace.artifacts):
        return str(refused)
    summary, *_ = str(error).strip().splitlines() or ["(no message)"]
    return (
        f"Unexpected {type(error).__name__}: {shortened(summary)}. "
        "The full traceback is in the log."
    )
