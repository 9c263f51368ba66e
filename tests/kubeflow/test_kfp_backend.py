"""The emulation of the back end, where the real driver and launcher showed that it was wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from kfp_backend import Backend, TaskRun
from kfp_values import Rejected, output_parameter

Json = dict[str, Any]

ROOT = "minio://mlpipeline/v2"
MODEL = {"artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model"}}}}
WRITE = """
import json, pathlib, sys
given = json.loads(sys.argv[1])
output = {"artifacts": {}, "parameterValues": {}, **json.loads(sys.argv[2])}
file = pathlib.Path(given["outputs"]["outputFile"])
file.parent.mkdir(parents=True, exist_ok=True)
file.write_text(json.dumps(output))
print(json.dumps(given))
"""


def _spec(
    command: list[str],
    *,
    given: Json | None = None,
    outputs: Json | None = None,
    caching: bool = False,
) -> Json:
    """Returns a pipeline of one task, `Task`.

    Args:
        command: of its container.
        given: input parameter -> (value, declared type).
        outputs: the component's outputDefinitions.
        caching: of the task.
    """
    given = given or {}
    return {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "one"},
        "root": {
            "dag": {
                "tasks": {
                    "Task": {
                        "componentRef": {"name": "comp-Task"},
                        "cachingOptions": {"enableCache": caching},
                        "inputs": {
                            "parameters": {
                                key: {"runtimeValue": {"constant": value}}
                                for key, (value, _) in given.items()
                            }
                        },
                    }
                }
            }
        },
        "components": {
            "comp-Task": {
                "executorLabel": "exec-Task",
                "inputDefinitions": {
                    "parameters": {
                        key: {"parameterType": declared} for key, (_, declared) in given.items()
                    }
                },
                "outputDefinitions": outputs or {},
            }
        },
        "deploymentSpec": {
            "executors": {"exec-Task": {"container": {"image": "covers:test", "command": command}}}
        },
    }


def _run(backend: Backend, spec: Json, **parameters: Any) -> TaskRun:
    return backend.run([spec], pipeline_root=ROOT, parameters=parameters)["Task"]


def _executor_input(run: TaskRun) -> Json:
    given: Json = json.loads(run.log.splitlines()[0])
    return given


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return Backend(tmp_path)


@pytest.mark.parametrize("code", [1, 3, 4, 137])
def test_a_pod_ends_with_1_and_its_last_line_names_the_commands_code(
    backend: Backend, code: int
) -> None:
    run = _run(backend, _spec(["sh", "-c", f"echo refused; exit {code}"]))
    assert (run.state, run.exit_code) == ("failed", 1)
    *_, last = run.log.splitlines()
    assert last == f"failed to execute component: exit status {code}"
    assert "refused" in run.log


def test_a_command_that_is_killed_is_named_by_its_signal(backend: Backend) -> None:
    run = _run(backend, _spec(["sh", "-c", "kill -9 $$"]))
    assert (run.exit_code, run.log.splitlines()[-1]) == (
        1, "failed to execute component: signal: killed"
    )  # fmt: skip


@pytest.mark.parametrize("command", ["echo done", "echo failed; exit 3"])
def test_the_log_is_named_after_the_attempt_and_kept_after_a_failure(
    backend: Backend, command: str
) -> None:
    _run(backend, _spec(["sh", "-c", command]))
    (log,) = (backend.root / "store").rglob("executor-logs*")
    assert log.name == "executor-logs-0"
    assert log.read_text() == f"{command.split(';')[0].removeprefix('echo ')}\n"


def test_the_command_sees_the_attempt_in_the_logs_name(backend: Backend) -> None:
    run = _run(backend, _spec(["python", "-c", WRITE, "{{$}}", "{}"]))
    (log,) = _executor_input(run)["outputs"]["artifacts"]["executor-logs"]["artifacts"]
    assert log["uri"].endswith("/executor-logs-0")


def test_a_task_that_does_not_cache_leaves_nothing_to_one_that_does(backend: Backend) -> None:
    silent, caching = (_spec(["echo", "done"], caching=caching) for caching in (False, True))
    assert [_run(backend, spec).state for spec in (silent, caching, caching)] == [
        "succeeded", "succeeded", "cached"
    ]  # fmt: skip
    assert _run(backend, silent).state == "succeeded"


def test_whole_numbers_arrive_without_a_fraction_wherever_they_are(backend: Backend) -> None:
    given = {
        "epochs": (5.0, "NUMBER_INTEGER"),
        "rate": (1.0, "NUMBER_DOUBLE"),
        "momentum": (0.5, "NUMBER_DOUBLE"),
        "sizes": ([1.0, 2.5], "LIST"),
        "config": ({"seed": 7.0, "deep": [{"n": 1.0}]}, "STRUCT"),
        "on": (True, "BOOLEAN"),
    }
    run = _run(backend, _spec(["python", "-c", WRITE, "{{$}}", "{}"], given=given))
    assert json.dumps(_executor_input(run)["inputs"]["parameterValues"]) == json.dumps(
        {
            "epochs": 5, "rate": 1, "momentum": 0.5, "sizes": [1, 2.5],
            "config": {"seed": 7, "deep": [{"n": 1}]}, "on": True,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(5.0, "5"), (0.5, "0.5"), (True, "true"), ([1.0, "a"], '[1, "a"]'), (None, ""), ("5", "5")],
)
def test_what_is_declared_as_text_arrives_as_text(backend: Backend, value: Any, text: str) -> None:
    command = ["python", "-c", WRITE, "{{$}}", "{}"]
    run = _run(backend, _spec(command, given={"given": (value, "STRING")}))
    assert _executor_input(run)["inputs"]["parameterValues"]["given"] == text


VALUES = {"NUMBER_INTEGER": 5, "NUMBER_DOUBLE": 0.5, "BOOLEAN": True, "LIST": [1], "STRUCT": {}}


@pytest.mark.parametrize("declared", VALUES)
@pytest.mark.parametrize("given", [*VALUES, "STRING", "null"])
def test_a_parameter_of_another_kind_is_rejected_by_the_driver(
    backend: Backend, declared: str, given: str
) -> None:
    value = {**VALUES, "STRING": "5", "null": None}[given]
    spec = _spec(["true"], given={"p": (value, declared)})
    if given == declared or {given, declared} == {"NUMBER_INTEGER", "NUMBER_DOUBLE"}:
        assert _run(backend, spec).state == "succeeded"
    else:
        with pytest.raises(Rejected, match='input parameter "p"'):
            _run(backend, spec)


@pytest.mark.parametrize("declared", [*VALUES, "STRING"])
def test_a_runs_parameter_of_another_kind_is_rejected_at_once(
    backend: Backend, declared: str
) -> None:
    spec = _spec(["true"])
    spec["root"]["inputDefinitions"] = {"parameters": {"p": {"parameterType": declared}}}
    right = {**VALUES, "STRING": "5"}[declared]
    assert _run(backend, spec, p=right).state == "succeeded"
    wrong = 5 if declared == "STRING" else "5"
    with pytest.raises(Rejected, match="input parameter p requires type"):
        _run(backend, spec, p=wrong)


def test_a_parameter_without_value_or_default_is_rejected(backend: Backend) -> None:
    spec = _spec(["true"])
    definitions = spec["components"]["comp-Task"]["inputDefinitions"]["parameters"]
    definitions["p"] = {"parameterType": "STRING", "isOptional": True}
    assert _run(backend, spec).state == "succeeded"
    definitions["p"] = {"parameterType": "STRING"}
    with pytest.raises(Rejected, match="neither value nor default"):
        _run(backend, spec)


@pytest.mark.parametrize(
    ("text", "declared", "value"),
    [
        ("5\n", "STRING", "5\n"), ("5\n", "NUMBER_INTEGER", 5), ("1.0", "NUMBER_DOUBLE", 1),
        ("True", "BOOLEAN", True), ("[1.0]", "LIST", [1]), ('{"a": 2.0}', "STRUCT", {"a": 2}),
    ],
)  # fmt: skip
def test_an_output_parameter_is_read_as_it_is_declared(
    text: str, declared: str, value: Any
) -> None:
    read = output_parameter(text, declared)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("", "NUMBER_INTEGER"), ("0.5", "NUMBER_INTEGER"), ("a", "NUMBER_DOUBLE"),
        ("yes", "BOOLEAN"), ("{}", "LIST"), ("[]", "STRUCT"), ("a", "STRUCT"),
    ],
)  # fmt: skip
def test_an_output_parameter_that_is_not_what_it_is_declared_fails_the_task(
    backend: Backend, text: str, declared: str
) -> None:
    file = "{{$.outputs.parameters['p'].output_file}}"
    spec = _spec(
        ["sh", "-c", f"printf '%s' '{text}' > {file}"],
        outputs={"parameters": {"p": {"parameterType": declared}}},
    )
    run = _run(backend, spec)
    assert (run.state, run.exit_code) == ("failed", 1)
    assert "TextToPbValue" in run.log.splitlines()[-1]


def test_metadata_come_back_as_ml_metadata_stores_them(backend: Backend) -> None:
    metadata = {"blessed": 1.0, "auc": 0.5, "on": True, "names": ["a"], "counts": {"a": 2.0}}
    output = {"artifacts": {"model": {"artifacts": [{"name": "model", "metadata": metadata}]}}}
    spec = _spec(["python", "-c", WRITE, "{{$}}", json.dumps(output)], outputs=MODEL)
    stored = _run(backend, spec).artifacts["model"]
    assert stored["type"] == {"instanceSchema": ""}
    known = {key: stored["metadata"][key] for key in metadata}
    assert json.dumps(known) == json.dumps(
        {
            "blessed": 1,
            "auc": 0.5,
            "on": 1,
            "names": {"list": ["a"]},
            "counts": {"struct": {"a": 2}},
        }
    )


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_metadata_that_cannot_be_stored_fail_the_task(backend: Backend, value: Any) -> None:
    metadata = {"value": value}
    output = {"artifacts": {"model": {"artifacts": [{"name": "model", "metadata": metadata}]}}}
    spec = _spec(["python", "-c", WRITE, "{{$}}", json.dumps(output)], outputs=MODEL)
    run = _run(backend, spec)
    assert (run.state, run.exit_code) == ("failed", 1)
