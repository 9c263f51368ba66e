"""`covers submit --wait`: which task failed, why, and with which exit code."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from kfp_api import KfpApi, covers

from pipeline.kubeflow import waiting
from pipeline.kubeflow.compile import Package
from pipeline.kubeflow.waiting import last_words

DATA = ("-p", "data=s3://bucket/covers", "-p", "push_destination=s3://bucket/serving")
LAUNCHER = "F1127 11:00:00.000000      24 main.go:57] failed to execute component: exit status 1"
REFUSED = "DataGate refused. 2 problems\n  genres: no example of jazz in eval\n  12% quarantined"


def submit(package_file: Path, *arguments: str) -> Result:
    return covers("submit", str(package_file), *DATA, "--wait", *arguments)


def failed(name: str, minute: int = 0, digest: str = "123") -> list[dict[str, Any]]:
    """Returns the nodes of a task that failed, as the API lists them."""
    end = f"2026-01-02T03:{minute:02}:05Z"
    return [
        {
            "display_name": name,
            "state": "FAILED",
            "end_time": end,
            "child_tasks": [{"pod_name": f"tiny-x7b2k-{digest}"}],
        },
        {"display_name": "executor", "state": "FAILED", "end_time": end},
    ]


def refuse_once_submitted(api: KfpApi, status: int, message: str) -> None:
    """Lets the API refuse everything from the first question about the run on."""
    answer = api.answer

    def refusing(request: Any) -> Any:
        if request.path.endswith("/runs/run-2"):
            api.always = (status, message)
        return answer(request)

    api.answer = refusing  # type: ignore[method-assign]


ROOT = {"display_name": "root", "state": "FAILED", "end_time": "2026-01-02T03:00:00Z"}


@pytest.mark.parametrize(
    ("task", "said", "code"),
    [
        ("DataGateStop", REFUSED, 3),
        ("EvaluatorStop", "Evaluator refused. rock: roc_auc 0.48, at least 0.52 needed", 4),
        ("InfraValidatorStop", "InfraValidator refused. An empty batch fails", 4),
        ("DataFingerprint", "ConfigError: Expected trainer.epochs. Received: 0.", 2),
        ("CoverExampleGen", "DataError: Expected covers. Received: none.", 3),
        ("Pusher", "DeploymentError: Expected s3://bucket to exist. Received: 404.", 1),
        ("Pusher", "ModelNotBlessed: Expected a model that was not taken back.", 4),
        ("Trainer", "Killed", 1),
        ("Trainer", "ConfigError: Expected a host.\n  Received: connection refused. Check it.", 2),
    ],
)
@pytest.mark.parametrize("logs_at", ["/k8s/pod/logs", "/apis/v1alpha1"])
def test_a_failure_is_told_by_its_task_and_its_reason(
    api: KfpApi, package_file: Path, task: str, said: str, code: int, logs_at: str
) -> None:
    api.run_states = ["RUNNING", "FAILED"]
    api.task_details = [ROOT, *failed(task)]
    api.logs_at = logs_at
    log = f"2026-11-27 11:00:00,000 covers starts\n{said}\n{LAUNCHER}\n"
    api.logs = {"tiny-x7b2k-system-container-impl-123": log}
    result = submit(package_file)
    assert result.exit_code == code, result.output
    assert f"{task} failed:" in result.output
    assert all(line.strip() in result.output for line in said.splitlines())
    assert "exit status" not in result.output
    assert "/#/runs/details/run-2" in result.output


def test_the_task_that_failed_first_decides(api: KfpApi, package_file: Path) -> None:
    api.run_states = ["FAILED"]
    api.task_details = [*failed("EvaluatorStop", 9, "9"), *failed("InfraValidatorStop", 5, "5")]
    api.logs = {
        "tiny-x7b2k-system-container-impl-9": "Evaluator refused. Of rock.",
        "tiny-x7b2k-system-container-impl-5": "InfraValidator refused. Too slow.",
    }
    result = submit(package_file)
    assert result.exit_code == 4
    assert result.output.index("Too slow") < result.output.index("Of rock")


def test_the_log_of_the_last_attempt_is_read(
    api: KfpApi, tiny_package: dict[str, Any], tmp_path: Path
) -> None:
    spec = copy.deepcopy(tiny_package)
    spec["root"]["dag"]["tasks"]["Trainer"]["retryPolicy"] = {"maxRetryCount": 1}
    metadata = {"podMetadata": {"labels": {"team": "music", "stage": "live"}}}
    platform = {"deploymentSpec": {"executors": {"exec-Trainer": metadata}}}
    package_file = tmp_path / "pipeline.yaml"
    Package((spec, {"platforms": {"kubernetes": platform}}), "kubeflow").write(package_file)
    task, executor = failed("Trainer", digest="100")
    executor["child_tasks"] = [{"pod_name": f"tiny-x7b2k-{digest}"} for digest in (101, 102)]
    other = {**executor, "end_time": "2026-01-02T02:00:00Z"}
    other["child_tasks"] = [{"pod_name": "tiny-x7b2k-103"}]
    api.run_states = ["FAILED"]
    api.task_details = [ROOT, other, task, executor]
    pod = "tiny-x7b2k-metadata-0-2-retry-system-container-impl"
    api.logs = {
        f"{pod}-101": "DeploymentError: the first attempt",
        f"{pod}-102": "ConfigError: the last attempt",
        f"{pod}-103": "DataError: another task",
    }
    result = submit(package_file)
    assert result.exit_code == 2, result.output
    assert "the last attempt" in result.output


def test_each_of_two_retried_tasks_has_its_own_log(
    api: KfpApi, tiny_package: dict[str, Any], tmp_path: Path
) -> None:
    spec = copy.deepcopy(tiny_package)
    pod, nodes = "tiny-x7b2k-retry-system-container-impl", []
    for second, (name, digest) in enumerate([("StatisticsGen", "201"), ("BatchInference", "301")]):
        spec["root"]["dag"]["tasks"][name]["retryPolicy"] = {"maxRetryCount": 1}
        task, executor = failed(name, digest=f"{digest}0")
        for node in (task, executor):
            node["end_time"] = f"2026-01-02T03:00:0{3 * second}Z"
        executor["child_tasks"] = [{"pod_name": f"tiny-x7b2k-{digest}"}]
        nodes += [executor, task]
        api.logs[f"{pod}-{digest}"] = f"MachineError: of {name}"
    package_file = tmp_path / "pipeline.yaml"
    Package((spec,), "kubeflow").write(package_file)
    api.run_states = ["FAILED"]
    for listed in (nodes, nodes[::-1]):
        api.task_details = listed
        output = " ".join(submit(package_file).output.split())
        assert "StatisticsGen failed: MachineError: of StatisticsGen" in output
        assert "BatchInference failed: MachineError: of BatchInference" in output


@pytest.mark.parametrize("hours", ["nan", "inf", "-1"])
def test_a_timeout_that_is_no_time_is_refused_before_the_run(
    api: KfpApi, package_file: Path, hours: str
) -> None:
    result = submit(package_file, "--timeout", hours)
    assert result.exit_code == 2
    assert api.changes() == []


def test_a_token_that_expires_ends_the_waiting_not_the_run(api: KfpApi, package_file: Path) -> None:
    refuse_once_submitted(api, 401, "token expired")
    result = submit(package_file)
    assert result.exit_code == 1
    assert "Give a token with --token" in result.output
    assert "Run run-2 goes on" in result.output


def test_a_driver_that_failed_is_named_by_its_task(api: KfpApi, package_file: Path) -> None:
    api.run_states = ["FAILED"]
    api.task_details = [ROOT, *failed("Trainer-driver")]
    result = submit(package_file)
    assert result.exit_code == 1
    assert "Trainer failed; its log was not found." in result.output


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "SKIPPED"])
def test_an_end_without_a_failed_task(api: KfpApi, package_file: Path, state: str) -> None:
    api.run_states = [state]
    result = submit(package_file)
    assert result.exit_code == 1
    assert f"Received: {state}. Its page says more: http" in result.output


@pytest.mark.parametrize(
    ("task", "code"),
    [("DataGateStop", 3), ("EvaluatorStop", 4), ("InfraValidatorStop", 4), ("Pusher", 1)],
)
def test_without_its_log_only_a_stop_task_is_known_to_refuse(
    api: KfpApi, package_file: Path, task: str, code: int
) -> None:
    api.run_states = ["FAILED"]
    api.task_details = failed(task)
    result = submit(package_file)
    assert result.exit_code == code
    assert f"{task} failed; its log was not found." in result.output


def test_a_run_that_takes_too_long_goes_on(api: KfpApi, package_file: Path) -> None:
    api.run_states = ["RUNNING"]
    result = submit(package_file, "--timeout", "0.00001")
    assert result.exit_code == 1
    assert "still running, and goes on: http" in result.output


def test_an_api_that_is_away_for_a_moment_is_asked_again(api: KfpApi, package_file: Path) -> None:
    api.run_states = ["RUNNING", "RUNNING", "SUCCEEDED"]
    answer, asked = api.answer, []

    def at_times(request: Any) -> Any:
        if request.path.endswith("/runs/run-2"):
            asked.append(request)
            if len(asked) == 2:
                api.refusals.append((503, "no healthy upstream"))
        return answer(request)

    api.answer = at_times  # type: ignore[method-assign]
    result = submit(package_file)
    assert result.exit_code == 0, result.output
    assert "Succeeded." in result.output


def test_an_api_that_stays_away_ends_the_waiting(
    api: KfpApi, package_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_LONGEST_SILENCE", datetime.timedelta(seconds=0.05))
    refuse_once_submitted(api, 503, "no healthy upstream")
    result = submit(package_file)
    assert result.exit_code == 1
    assert "503" in result.output
    assert "Run run-2 goes on" in result.output


def test_ctrl_c_ends_the_waiting_and_not_the_run(
    api: KfpApi, package_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.kubeflow.waiting.wait", interrupt)
    result = submit(package_file)
    assert result.exit_code == 130
    assert "No longer waiting. Run run-2 goes on: http" in result.output
    assert not any("terminate" in change for change in api.changes())


def test_a_long_log_without_a_message_ends_with_its_last_lines() -> None:
    log = "\n".join([*(f"line {number}" for number in range(100)), LAUNCHER])
    words = last_words(log).splitlines()
    assert words[-1] == "line 99"
    assert len(words) == 30
