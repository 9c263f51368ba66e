"""What runs in the container of every TFX task on Kubeflow Pipelines.

    python -m pipeline.kubeflow.container.entrypoint --executor_class_path CLASS
        --json_serialized_invocation_args {{$}} --json_serialized_inputs_spec_args JSON
        [--gate NAME] [--gpus NUMBER] [--scratch FOLDER] [--state URL] [--retry_for SECONDS]
        [--shared FOLDER] [Beam arguments]

It takes the arguments of TFX's own entrypoint (tfx.orchestration.kubeflow.v2.container), which does
not run on the open-source back end, and runs the same unmodified executors. Only what the executor
needs is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.contracts.decisions import DataRefused, decision_text
from components.support.engine_errors import engine_error
from components.support.engine_jobs import jobs_end_with_their_run
from components.support.errors import CoversError
from components.support.quiet import third_parties_quiet
from components.support.signals import Interrupted, interruptible
from components.support.texts import message_for_people
from pipeline.kubeflow.container.attempts import Attempts, state_folder, task_folder
from pipeline.kubeflow.container.checkpoints import with_checkpoints
from pipeline.kubeflow.container.compare_view import compare_view
from pipeline.kubeflow.container.executor_input import (
    TaskInput,
    import_class,
    parse_object,
    read_task_input,
)
from pipeline.kubeflow.container.executor_output import (
    PAGE_SUFFIX,
    page_output,
    write_executor_output,
)
from pipeline.kubeflow.container.gpus import check_gpus
from pipeline.kubeflow.container.logging_to_mlflow import log_report
from pipeline.kubeflow.container.notifying import (
    run_id_of,
    tell_error,
    tell_unexpected,
    tell_verdict,
)
from pipeline.kubeflow.container.refusals import (
    REFUSAL,
    REFUSAL_PAGE,
    as_parameter,
    gate_decision,
    render_page,
)
from pipeline.kubeflow.container.scratch import use_scratch
from pipeline.kubeflow.container.shared import in_shared_folder

_BEAM_EXECUTOR_MODULE = "tfx.dsl.components.base.base_beam_executor"
_OUR_LOGGERS = ("covers", "components", "pipeline")
_VERSION_PROPERTY = "tfx_version"
_EXIT_CODE_OF_SIGNALS = 128  # a shell's, for a process that a signal ended

_logger = logging.getLogger("covers")


def run(argv: Sequence[str]) -> int:
    """Runs one task as `main` does; a signal, as of a pod that is deleted, lets it clear up."""
    try:
        with interruptible():
            return main(argv)
    except Interrupted as ended:
        _say_last(f"The task was ended by {ended}.")
        return _EXIT_CODE_OF_SIGNALS + signal.Signals[str(ended)]


def main(argv: Sequence[str]) -> int:
    """Runs one task; returns the exit code, which for an expected error is that of the error."""
    arguments, beam_arguments = _parser().parse_known_args(argv)
    # Beam and absl parse the process's arguments again and know none of these.
    sys.argv = sys.argv[:1]
    _set_up_logging()
    task: TaskInput | None = None
    attempts, begun = Attempts("", 0), False
    try:
        if arguments.retry_for:
            folder = task_folder(parse_object(arguments.json_serialized_invocation_args))
            attempts = Attempts.at(arguments.state, folder, arguments.retry_for)
            attempts.refuse_another()
        begun = True
        if arguments.scratch:
            use_scratch(arguments.scratch)
        if arguments.gpus:
            check_gpus(arguments.gpus)
        executor_class = import_class(arguments.executor_class_path)
        task = read_task_input(
            arguments.json_serialized_invocation_args, arguments.json_serialized_inputs_spec_args
        )
        folder = task_folder(parse_object(arguments.json_serialized_invocation_args))
        state = state_folder(arguments.state, folder)
        task = dataclasses.replace(
            task, exec_properties=with_checkpoints(task.exec_properties, state)
        )
        _run(executor_class, task, beam_arguments, arguments.gate, arguments.shared)
    except CoversError as error:
        text = task.names.restore(str(error)) if task else str(error)
        attempts.remember(error, text)
        if begun:  # else an earlier attempt has told it
            tell_error(run_id_of(task), error, text)
        _say_last(f"{type(error).__name__}: {text}")
        return error.exit_code
    except Exception as error:
        tell_unexpected(run_id_of(task), error)
        raise
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pipeline.kubeflow.container.entrypoint", allow_abbrev=False
    )
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    parser.add_argument("--gate", default="", help="name of the gate, if the task is one")
    parser.add_argument("--gpus", type=int, default=0, help="how many the task requests")
    parser.add_argument("--scratch", default="", help="folder for temporary files")
    parser.add_argument("--state", default="", help="URL of a folder that outlives the pod")
    parser.add_argument("--retry_for", type=float, default=0, help="how long there are attempts")
    parser.add_argument("--shared", default="", help="folder that the engine's workers see as well")
    return parser


def _set_up_logging() -> None:
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(name)s %(message)s")
    for name in _OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)


def _run(
    executor_class: Any, task: TaskInput, beam_arguments: list[str], gate: str, shared: str
) -> None:
    """Runs the executor and writes its outputs.

    Raises:
        CoversError: the executor's; for a gate, none that is a refusal.
    """
    for _, (artifact, *_rest) in sorted(task.outputs.items()):
        _tag_with_version(artifact)
    outputs = dict(task.outputs)
    with (
        in_shared_folder(task, shared),
        jobs_end_with_their_run() if shared else contextlib.nullcontext(),
        tempfile.TemporaryDirectory(prefix="covers-") as scratch,
    ):
        executor = executor_class(_context(executor_class, beam_arguments, scratch))
        _logger.info("%s starts", executor_class.__name__)
        try:
            executor.Do(task.inputs, outputs, task.exec_properties)
        except DataRefused:
            # The task succeeds and publishes why; the task after it fails.
            if not gate:
                raise
        except Exception as error:
            if ended := engine_error(error):
                raise ended from error
            raise
    _logger.info("%s is done", executor_class.__name__)
    parameters = {}
    if gate:
        decision = gate_decision(outputs)
        reason = "" if decision.passed else task.names.restore(decision_text(decision))
        parameters[REFUSAL] = as_parameter(reason)
        page = page_output(task, REFUSAL_PAGE)
        if page:
            page.write_text(render_page(gate, reason), encoding="utf-8")
    _show_pages(task, outputs)
    write_executor_output(task, outputs, parameters, compare_view(outputs))
    log_report(task, outputs)
    tell_verdict(task, outputs)


def _context(executor_class: Any, beam_arguments: list[str], scratch: str) -> Any:
    options = {"unique_id": Path(scratch).name, "tmp_dir": scratch}
    # Were it an executor on Beam, its module would have imported the base class.
    beam = sys.modules.get(_BEAM_EXECUTOR_MODULE)
    if beam and issubclass(executor_class, beam.BaseBeamExecutor):
        return executor_class.Context(beam_pipeline_args=beam_arguments, **options)
    return executor_class.Context(extra_flags=beam_arguments, **options)


def _tag_with_version(artifact: Any) -> None:
    from tfx import version

    # Without it, TFX mistakes a Model artifact for one in an old layout.
    artifact.set_string_custom_property(_VERSION_PROPERTY, version.__version__)


def _show_pages(task: TaskInput, outputs: dict[str, list[Any]]) -> None:
    for key, artifacts in outputs.items():
        target = page_output(task, key + PAGE_SUFFIX)
        if target is None:
            continue
        for artifact in artifacts:
            source = Path(artifact.uri) / artifact.PAGE
            if source.is_file():
                shutil.copyfile(source, target)


def _say_last(text: str) -> None:
    """Prints to standard error after everything else that was logged."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
    print(message_for_people(text), file=sys.stderr, flush=True)


if __name__ == "__main__":
    with third_parties_quiet():
        exit_code = run(sys.argv[1:])
    sys.exit(exit_code)
