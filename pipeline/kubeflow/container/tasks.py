"""The small tasks that the compiler adds to the graph; they need no TensorFlow.

python -m pipeline.kubeflow.container.tasks fingerprint DATA INGEST_CONFIG LARGEST_FILE TRAINING OUT
python -m pipeline.kubeflow.container.tasks baseline_version CANDIDATE PUSH_DESTINATION OUTPUT_FILE
python -m pipeline.kubeflow.container.tasks stop GATE EXIT_CODE REASON
python -m pipeline.kubeflow.container.tasks notify RUN_ID PAGE ...

The last is any of the others, told whom a web hook's message is about.
What is tried again has `--attempts STATE RETRY_FOR EXECUTOR_INPUT` before the name of the task.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from components.support.errors import CoversError
from components.support.texts import line_for_people, message_for_people
from pipeline.kubeflow.container.attempts import Attempts, task_folder
from pipeline.kubeflow.container.notifying import tell_data_refused, tell_error, tell_unexpected


def main(argv: Sequence[str]) -> int:
    """Runs one of the tasks; returns the exit code."""
    run_id = page = ""
    begun = False
    if argv[0] == "notify":
        _, run_id, page, *argv = argv
    attempts, (command, *arguments) = _attempts(argv)
    try:
        attempts.refuse_another()
        begun = True
        if command == "fingerprint":
            return _fingerprint(*arguments)
        if command == "baseline_version":
            return _baseline_version(*arguments)
        return _stop(*arguments, run_id=run_id, page=page)
    except CoversError as error:
        attempts.remember(error, str(error))
        if begun:  # else an earlier attempt has told it
            tell_error(run_id, error, str(error))
        print(message_for_people(f"{type(error).__name__}: {error}"), file=sys.stderr)
        return error.exit_code
    except Exception as error:
        tell_unexpected(run_id, error)
        raise


def _attempts(argv: Sequence[str]) -> tuple[Attempts, Sequence[str]]:
    """Returns the attempts at the task, and the words without them."""
    if argv[0] != "--attempts":
        return Attempts("", 0), argv
    _, state, retry_for, executor_input, *words = argv
    task = task_folder(json.loads(executor_input))
    return Attempts.at(state, task, float(retry_for)), words


def _fingerprint(data: str, config: str, largest_file: str, training: str, output_file: str) -> int:
    from components.cover_example_gen.config import IngestConfig
    from components.cover_example_gen.fingerprint import fingerprint_data
    from components.trainer.parameter import TrainingParameter

    # What the run was given is checked here, in its first task, not hours later in the Trainer.
    TrainingParameter.from_text(training)
    options = IngestConfig.from_json(config).model_copy(update={"span": "all"})
    digest = fingerprint_data(data, options, largest_file=int(largest_file))
    _write(output_file, digest)
    print(line_for_people(f"{data}: {digest}"))
    return 0


def _baseline_version(candidate: str, push_destination: str, output_file: str) -> int:
    from components.baseline_model.find import baseline_of

    found = baseline_of(candidate, push_destination)
    location = found.location if found else ""
    _write(output_file, location)
    print(line_for_people(f"Baseline: {location or 'none'}"))
    return 0


def _write(output_file: str, value: str) -> None:
    target = Path(output_file)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(value, encoding="utf-8")


def _stop(gate: str, exit_code: str, reason: str, *, run_id: str, page: str) -> int:
    if not reason:
        print(f"{gate} passed.")
        return 0
    if page:
        tell_data_refused(run_id, reason, page)
    print(message_for_people(f"{gate} refused. {reason}"), file=sys.stderr)
    return int(exit_code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
