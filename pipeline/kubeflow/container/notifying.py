"""Tells a web hook how a run on Kubeflow Pipelines ends, from the task that knows.

ReportGen knows whether a model was pushed or refused; the task after DataGate, that the data were
refused; and a task that fails, that the run does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.contracts import nodes
from components.contracts.decisions import read_decision
from components.contracts.notices import Notice
from components.contracts.notifications import NotificationsConfig, notify
from components.contracts.outcome import Outcome
from components.support.texts import line_for_people

if TYPE_CHECKING:
    from pipeline.kubeflow.container.executor_input import TaskInput

SETTINGS_VARIABLE = "COVERS_NOTIFICATIONS"


def tell_verdict(task: TaskInput, outputs: Mapping[str, Any]) -> None:
    """Tells what ReportGen reported; nothing if the task is another."""
    if not outputs.get(nodes.REPORT):
        return
    restore = task.names.restore
    pushed = task.inputs[nodes.PUSHED_MODEL][0]
    is_pushed = bool(pushed.get_int_custom_property(nodes.PUSHED))
    decisions = [
        read_decision(task.inputs[key][0].uri) for key in (nodes.EVALUATION, nodes.INFRA_BLESSING)
    ]
    _tell(
        run_id_of(task),
        Outcome.PUSHED if is_pushed else Outcome.NOT_BLESSED,
        tuple(restore(refusal.what) for each in decisions for refusal in each.refusals),
        pushed.get_string_custom_property(nodes.PUSHED_DESTINATION) if is_pushed else None,
        restore(outputs[nodes.REPORT][0].uri),
    )


def tell_error(run_id: str, error: BaseException, text: str) -> None:
    """Tells that a task failed.

    Args:
        run_id: identity of the run; empty if it is not known.
        error: why.
        text: the same in words.
    """
    _tell(run_id, Outcome.of_error(error), (text,))


def tell_unexpected(run_id: str, error: BaseException) -> None:
    """Tells that a task failed, and of the error only its kind: its text might hold a secret."""
    tell_error(run_id, error, f"Unexpected {type(error).__name__}; see the log.")


def tell_data_refused(run_id: str, reason: str, page: str) -> None:
    """Tells that the data were refused."""
    headline, *reasons = reason.splitlines()
    _tell(
        run_id,
        Outcome.DATA_STOPPED,
        tuple(line.strip() for line in reasons) or (headline,),
        report=page,
    )


def run_id_of(task: TaskInput | None) -> str:
    """Returns the identity of the run, which is part of the URIs of what it makes, or ''."""
    settings = _settings()
    return identity_of_run(task, settings["pipeline"]) if task and settings else ""


def identity_of_run(task: TaskInput, pipeline: str) -> str:
    """Returns the identity of a run of a pipeline, or ''."""
    for artifacts in task.outputs.values():
        for artifact in artifacts:
            # ROOT/PIPELINE/RUN/TASK/...: the bucket or a folder of ROOT may have that name as well.
            uri = task.names.restore(artifact.uri)
            _, found, rest = uri.rpartition(f"/{pipeline}/")
            if found:
                return rest.partition("/")[0]
    return ""


def _settings() -> dict[str, Any] | None:
    text = os.environ.get(SETTINGS_VARIABLE)
    return json.loads(text) if text else None


def _tell(
    run_id: str,
    outcome: Outcome,
    reasons: tuple[str, ...],
    pushed_to: str | None = None,
    report: str | None = None,
) -> None:
    settings = _settings()
    if settings is None:
        return
    config = NotificationsConfig.from_fields(settings["notifications"])
    notice = Notice(settings["pipeline"], run_id, outcome, reasons, pushed_to, report)
    if line := notify(config, notice):
        print(line_for_people(line), file=sys.stderr, flush=True)
