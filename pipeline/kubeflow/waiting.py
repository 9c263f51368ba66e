"""Waits for the end of a run, and finds out which task failed and why.

The API lists the nodes of the run's Argo workflow: a task has its name in the package, the driver
that prepares it has `-driver` after it, and its child `executor` is the pod or, where the task is
tried again, the parent of a pod for each attempt. A pod is named after its node, with the name of
its template in between (kubeflow/pipelines at 7b70c7b95f: api_converter.go, workflow.go,
RetrievePodName). Its own exit code is always 1, so the kind of a failure follows from the name of
the task and from what it said last.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from components.contracts.decisions import DataRefused
from components.contracts.nodes import DATA_GATE, EVALUATOR, INFRA_VALIDATOR
from components.support import errors
from components.support.errors import CoversError, DataError, DeploymentError, ModelNotBlessed
from components.support.texts import message_for_people
from pipeline.kubeflow.connection import Api, NoAnswer
from pipeline.kubeflow.small_tasks import STOP_SUFFIX

_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
_DRIVER_SUFFIX = "-driver"
_EXECUTOR = "executor"
_RETRIED = "retry-"
_SAME_END_SECONDS = 10.0
_POLL_SECONDS = 5.0
_LONGEST_SILENCE = datetime.timedelta(minutes=10)
_MOST_LINES = 30
# Of the launcher, of glog and of Python's logging, between what a task says and its end.
_LOGGED = re.compile(r"[IWEF]\d{4} |\d{4}-\d\d-\d\d[ T]\d\d:\d\d|time=")
_REFUSED = re.compile(rf"({DATA_GATE}|{EVALUATOR}|{INFRA_VALIDATOR}) refused\. ")
_KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, CoversError)
} | {DataRefused.__name__: DataRefused}


class RunFailed(DeploymentError):
    """A run did not succeed.

    Args:
        message: which task failed, and why.
        exit_code: the one that `covers run` has for this.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclasses.dataclass(frozen=True)
class FailedTask:
    """The task that ended a run.

    Attributes:
        name: its name in the pipeline.
        reason: the last lines of its log; empty if that cannot be read.
    """

    name: str
    reason: str

    @property
    def exit_code(self) -> int:
        """The one that `covers run` has for this failure."""
        if self.name == DATA_GATE + STOP_SUFFIX:
            return DataError.exit_code
        if self.name.endswith(STOP_SUFFIX):
            return ModelNotBlessed.exit_code
        kind = _KINDS.get(self.reason.partition(":")[0], DeploymentError)
        return kind.exit_code


def wait(
    api: Api,
    run_id: str,
    pod_templates: Mapping[str, str],
    timeout: datetime.timedelta,
) -> None:
    """Waits for the end of a run.

    Args:
        api: where it runs.
        run_id: the run.
        pod_templates: task -> Argo's template of its pod.
        timeout: longest time to wait.

    Raises:
        RunFailed: it did not succeed; with the exit code of `covers run`.
        DeploymentError: it did not end in time, or the API stopped answering; it goes on.
    """
    begin = answered = time.monotonic()
    while True:
        try:
            with api.request() as client:
                run = client.get_run(run_id)
            answered = time.monotonic()
        except DeploymentError as error:
            silence = time.monotonic() - answered
            if not isinstance(error, NoAnswer) or silence > _LONGEST_SILENCE.total_seconds():
                raise DeploymentError(
                    f"{error} Run {run_id} goes on without this command."
                ) from error
        else:
            if run.state in _ENDED:
                break
        if time.monotonic() - begin > timeout.total_seconds():
            raise DeploymentError(
                f"Expected run {run_id} to end within {timeout}. Received: it is still running, "
                f"and goes on: {run_page(api, run_id)}"
            )
        time.sleep(_POLL_SECONDS)
    if run.state != "SUCCEEDED":
        raise _failure(api, run, pod_templates)


def run_page(api: Api, run_id: str) -> str:
    """Returns the URL of a run's page."""
    return api.page(f"runs/details/{run_id}")


def _failure(api: Api, run: Any, pod_templates: Mapping[str, str]) -> RunFailed:
    page = run_page(api, run.run_id)
    details = (run.run_details and run.run_details.task_details) or ()
    found = []
    retried = [each for each in details if each.display_name == _EXECUTOR and _children(each)]
    for name, detail in _failed(details, pod_templates):
        template = pod_templates[name]
        nodes = _children(detail)
        if _RETRIED in template:
            nodes += _attempts(detail, retried)
        pods = [_pod(node, template) for node in nodes]
        logs = (_log(api, run, pod) for pod in pods)
        found.append(FailedTask(name, last_words(next(filter(None, logs), ""))))
    if not found:
        told = run.error and run.error.message
        return RunFailed(
            f"Expected run {run.run_id} to succeed. Received: {run.state}"
            f"{f' ({message_for_people(told)})' if told else ''}. Its page says more: {page}",
            DeploymentError.exit_code,
        )
    lines = []
    for task in found:
        lines.append(f"{task.name} failed" + (":" if task.reason else "; its log was not found."))
        lines += [f"  {line}" for line in task.reason.splitlines()]
    text = "\n".join(lines)
    return RunFailed(
        f"Expected run {run.run_id} to succeed. Received: {run.state}.\n{text}\nMore: {page}",
        found[0].exit_code,
    )


def _failed(details: Sequence[Any], tasks: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yields the failed tasks with their details, the one that failed first before the others."""
    known = {name: name for name in tasks} | {f"{name}{_DRIVER_SUFFIX}": name for name in tasks}
    failed = [each for each in details if each.state == "FAILED" and each.display_name in known]
    for each in sorted(failed, key=_end):
        yield known[each.display_name], each


def _end(detail: Any) -> float:
    return float(detail.end_time.timestamp()) if detail.end_time else float("inf")


def _attempts(detail: Any, retried: list[Any]) -> list[str]:
    """Returns the nodes of a task's attempts, the last one first.

    The list does not say which `executor` belongs to which task, but the two end together. The one
    that is taken is removed from `retried`.
    """
    nearest = min(retried, key=lambda each: abs(_end(each) - _end(detail)), default=None)
    if nearest is None or abs(_end(nearest) - _end(detail)) > _SAME_END_SECONDS:
        return []
    retried.remove(nearest)
    return _children(nearest)[::-1]


def _children(detail: Any) -> list[str]:
    return [child.pod_name for child in detail.child_tasks or () if child.pod_name]


def _pod(node: str, template: str) -> str:
    workflow, _, digest = node.rpartition("-")
    return f"{workflow}-{template}-{digest}"


def _log(api: Api, run: Any, pod: str) -> str:
    """Returns the log of a pod from the user interface, or from the API itself; else nothing."""
    created = run.created_at
    query = {"podname": pod, "runid": run.run_id}
    if api.connection.namespace:
        query["podnamespace"] = api.connection.namespace
    if created:
        query["createdat"] = f"{created:%Y-%m-%d}"
    places: tuple[tuple[str, Mapping[str, str]], ...] = (
        ("/k8s/pod/logs", query),
        (f"/apis/v1alpha1/runs/{run.run_id}/nodes/{pod}/log", {}),
    )
    for path, parameters in places:
        try:
            text = api.text(path, parameters)
        except DeploymentError:
            continue
        # The API has said that all is well before it looks for the log; the user interface answers
        # an address that it does not know with its own page.
        if text and not text.lstrip().lower().startswith(('{"error_message"', "<!doctype")):
            return text
    return ""


def last_words(log: str) -> str:
    """Returns what a task said last, without what the launcher and libraries logged.

    Args:
        log: of the pod.
    """
    lines = [line.rstrip() for line in log.splitlines()]
    said = [line for line in lines if line and not _LOGGED.match(line)]
    starts = [place for place, line in enumerate(said) if _begins_a_message(line)]
    kept = said[starts[-1] :] if starts else said[-_MOST_LINES:]
    return message_for_people("\n".join(kept[:_MOST_LINES]))


def _begins_a_message(line: str) -> bool:
    return line.partition(":")[0] in _KINDS or _REFUSED.match(line) is not None
