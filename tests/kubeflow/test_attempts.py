"""A task that is tried again: what was final ends at once, what was not begins anew."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import fsspec
import pytest
from kfp_backend import Backend

from components.support.errors import (
    ConfigError,
    CoversError,
    DataError,
    DeploymentError,
    MachineError,
    ModelNotBlessed,
)
from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.container.attempts import RETRY_INDEX, Attempts, state_folder, task_folder
from pipeline.kubeflow.container.checkpoints import with_checkpoints

RUN = "01234567-89ab-cdef-0123-456789abcdef"
TASK = f"s3://bucket/root/tiny/{RUN}/Trainer/11111111-1111-1111-1111-111111111111"


@pytest.fixture(autouse=True)
def another_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RETRY_INDEX, "1")


@pytest.mark.parametrize(
    ("configured", "task", "expected"),
    [
        ("s3://other/state", TASK, "s3://other/state"),
        ("", TASK, "s3://bucket/root/tiny"),
        ("", f"gs://bucket/root/tiny/{RUN}/Trainer", "gs://bucket/root/tiny"),
        # A folder above the pipeline's may have a name like a run's.
        ("", TASK.replace("root", RUN), f"s3://bucket/{RUN}/tiny"),
        ("", f"s3://{RUN}/a/{RUN}/tiny/{RUN}/Trainer", f"s3://{RUN}/a/{RUN}/tiny"),
        ("", f"s3://bucket/{RUN}/root/tiny/{RUN}/Trainer/42", f"s3://bucket/{RUN}/root/tiny"),
        ("", f"s3://{RUN}/tiny/run/Trainer", f"s3://{RUN}/tiny/run/Trainer"),
        ("", "s3://bucket/root/tiny/run/Trainer", "s3://bucket/root/tiny/run/Trainer"),
        ("", TASK.replace("s3://", "minio://"), ""),
        ("s3://other/state", TASK.replace("s3://", "minio://"), "s3://other/state"),
    ],
)
def test_where_state_is_kept(configured: str, task: str, expected: str) -> None:
    assert state_folder(configured, task) == expected


def test_the_folder_of_a_task_is_the_same_for_all_attempts() -> None:
    def of(attempt: int) -> str:
        logs = {"artifacts": [{"uri": f"{TASK}/executor-logs-{attempt}"}]}
        return task_folder({"outputs": {"artifacts": {"executor-logs": logs}}})

    assert of(0) == of(1) == TASK
    assert task_folder({"outputs": {}}) == ""


@pytest.mark.parametrize("error", [ConfigError, DataError, ModelNotBlessed])
def test_what_was_final_ends_the_next_attempt(error: type[CoversError], s3: Any) -> None:
    attempts = Attempts.at("", f"{TASK}/{error.__name__}", 60)
    attempts.refuse_another()
    attempts.remember(error("no"), "Expected a. Received: b.")
    with pytest.raises(error, match=r"Expected a\. Received: b\..*earlier attempt"):
        attempts.refuse_another()


@pytest.mark.parametrize("error", [DeploymentError, MachineError, CoversError])
def test_infrastructure_is_tried_again(error: type[CoversError], s3: Any) -> None:
    attempts = Attempts.at("", f"{TASK}/{error.__name__}", 60)
    attempts.remember(error("no"), "no")
    attempts.refuse_another()


def test_a_run_that_a_person_retries_begins_anew(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts.at("", f"{TASK}/person", 60)
    attempts.remember(ConfigError("no"), "no")
    monkeypatch.setenv(RETRY_INDEX, "0")
    attempts.refuse_another()
    monkeypatch.delenv(RETRY_INDEX)  # as before 2.17
    with pytest.raises(ConfigError):
        attempts.refuse_another()
    later = time.time() + 61
    monkeypatch.setattr("time.time", lambda: later)
    attempts.refuse_another()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"error": "Other", "message": ""}'])
def test_what_cannot_be_read_is_passed_over(content: bytes, s3: Any, caplog: Any) -> None:
    attempts = Attempts.at("", f"{TASK}/damaged", 60)
    fsspec.filesystem("s3").pipe_file(attempts.file, content)
    attempts.refuse_another()
    assert "is unknown" in caplog.text


def test_without_a_store_every_attempt_counts(caplog: Any) -> None:
    for attempts in (Attempts.at("", "minio://b/x", 60), Attempts.at("", "", 60)):
        attempts.remember(ConfigError("no"), "no")
        attempts.refuse_another()
    assert not caplog.text


def _retried(tiny_config: Path) -> dict[str, Any]:
    overrides = ["kubeflow.all_tasks={retries: {max: 2, wait: 1s}}"]
    return compile_pipeline(load_config(tiny_config, overrides)).documents[0]


@pytest.mark.parametrize(
    ("given", "state", "expected"),
    [
        ({"checkpoint_folder": ""}, "s3://b/state", "s3://b/state/checkpoints"),
        ({"checkpoint_folder": "/mounted"}, "s3://b/state", "/mounted"),
        ({"checkpoint_folder": ""}, "", ""),
        ({"other": 1}, "s3://b/state", None),
    ],
)
def test_a_trainer_keeps_its_checkpoints_in_the_store(
    given: dict[str, Any], state: str, expected: str | None, caplog: Any
) -> None:
    changed = with_checkpoints({"custom_config": json.dumps(given), "x": 1}, state)
    assert json.loads(changed["custom_config"]).get("checkpoint_folder") == expected
    assert changed["x"] == 1
    assert ("kubeflow.state" in caplog.text) == (expected == "")


@pytest.mark.parametrize("given", [None, "", "{", "[]", 3])
def test_what_has_no_checkpoints_is_left_as_it_is(given: Any) -> None:
    assert with_checkpoints({"custom_config": given}, "s3://b/s") == {"custom_config": given}


@pytest.mark.slow
def test_a_refused_option_is_not_tried_again_on_the_back_end(
    tiny_config: Path, tmp_path: Path, s3: dict[str, str]
) -> None:
    runs = Backend(tmp_path).run(
        [_retried(tiny_config)],
        pipeline_root="s3://bucket/attempts",
        parameters={"data": "none", "push_destination": "none", "training": "{}"},
        env=s3,
    )
    first = runs["DataFingerprint"]
    assert (first.state, first.attempts) == ("failed", 3)
    assert "(An earlier attempt ended so; another would, too.)" in first.log
    assert "training.config: Expected a value" in first.log
    assert {run.state for name, run in runs.items() if name != "DataFingerprint"} == {"omitted"}
