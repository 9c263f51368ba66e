from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.kubeflow.package import CompiledPackage, parameter_values

DATA = ("-p", "data=s3://bucket/covers", "-p", "push_destination=s3://bucket/serving")
V2 = "/apis/v2beta1"


class Api:
    """The part of the API that the client uses; keeps what it was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, Any], Any]] = []
        self.experiments: list[dict[str, Any]] = []
        self.pipelines: list[dict[str, Any]] = []
        self.refusal: tuple[int, str] | None = None
        self.run_state = "SUCCEEDED"

    def answer(self, method: str, path: str, query: dict[str, Any], body: Any) -> Any:
        resource = path.removeprefix(V2)
        if (method, resource) == ("GET", "/healthz"):
            return {"multi_user": False}
        if resource == "/experiments":
            if method == "GET":
                return {"experiments": self.experiments}
            self.experiments.append({**body, "experiment_id": "experiment-1"})
            return self.experiments[-1]
        if (method, resource) == ("POST", "/runs"):
            return {**body, "run_id": "run-1"}
        if (method, resource) == ("GET", "/runs/run-1"):
            return {
                "run_id": "run-1",
                "state": self.run_state,
                "finished_at": "2026-01-01T00:00:00Z",
            }
        if (method, resource) == ("GET", "/pipelines"):
            wanted = json.loads(query["filter"][0])["predicates"][0]["stringValue"]
            return {"pipelines": [p for p in self.pipelines if p["display_name"] == wanted]}
        if (method, resource) == ("POST", "/pipelines/upload"):
            self.pipelines.append({"pipeline_id": "pipeline-1", "display_name": query["name"][0]})
            return self.pipelines[-1]
        if re.fullmatch(r"/pipelines/pipeline-1/versions", resource):
            return {"pipeline_versions": [{"pipeline_version_id": "version-1"}]}
        if (method, resource) == ("POST", "/pipelines/upload_version"):
            return {"pipeline_id": "pipeline-1", "pipeline_version_id": "version-2"}
        if (method, resource) == ("POST", "/recurringruns"):
            return {**body, "recurring_run_id": "recurring-1"}
        raise AssertionError(f"{method} {path}")

    def sent(self, resource: str) -> Any:
        """Returns the body of the last POST of a resource."""
        bodies = [b for m, p, _, b in self.requests if (m, p) == ("POST", V2 + resource)]
        assert bodies
        return bodies[-1]


class Handler(BaseHTTPRequestHandler):
    api: Api
    tokens: list[str | None]

    def do_GET(self) -> None:
        self.respond("GET")

    def do_POST(self) -> None:
        self.respond("POST")

    def respond(self, method: str) -> None:
        url = urlparse(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(content) if content.startswith(b"{") else content
        query = parse_qs(url.query)
        self.api.requests.append((method, url.path, query, body))
        self.tokens.append(self.headers.get("authorization"))
        status, answer = 200, {}
        if self.api.refusal and url.path != f"{V2}/healthz":
            status, answer = self.api.refusal[0], {"message": self.api.refusal[1]}
        else:
            answer = self.api.answer(method, url.path, query, body)
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    pytest.importorskip("kfp.client", reason="tfx-1.21 has no kfp from Python 3.12 on")
    stub = Api()
    handler = type("StubHandler", (Handler,), {"api": stub, "tokens": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("KFP_HOST", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HOME", str(tmp_path))  # kfp keeps a context file there
    stub.tokens = handler.tokens  # type: ignore[attr-defined]
    yield stub
    server.shutdown()


def covers(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_submit_runs_the_package_with_what_it_was_given(api: Api, package_file: Path) -> None:
    result = covers(
        "submit", str(package_file), *DATA, "--set", "trainer.epochs=7", "--token", "secret",
        "--namespace", "team-a", "--experiment", "genres", "--name", "first",
        "--pipeline-root", "s3://bucket/root", "--service-account", "runner", "--wait",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert re.search(r"Run run-1: http://127.0.0.1:\d+/#/runs/details/run-1\n", result.output)
    assert "Succeeded." in result.output
    run = api.sent("/runs")
    assert (run["display_name"], run["experiment_id"]) == ("first", "experiment-1")
    assert run["service_account"] == "runner"
    parameters = run["runtime_config"]["parameters"]
    assert parameters["data"] == "s3://bucket/covers"
    assert json.loads(parameters["training"])["config"]["epochs"] == 7
    assert run["runtime_config"]["pipeline_root"] == "s3://bucket/root"
    assert api.sent("/experiments") == {"display_name": "genres", "namespace": "team-a"}
    assert set(api.tokens) == {"Bearer secret"}  # type: ignore[attr-defined]


def test_submit_leaves_the_caching_of_each_task_as_compiled(
    api: Api, package_file: Path, tiny_package: dict[str, Any]
) -> None:
    assert covers("submit", str(package_file), *DATA).exit_code == 0
    sent = api.sent("/runs")["pipeline_spec"]
    assert sent["root"]["dag"]["tasks"] == tiny_package["root"]["dag"]["tasks"]


def test_a_failed_run_fails_the_command_that_waits(api: Api, package_file: Path) -> None:
    api.run_state = "FAILED"
    result = covers("submit", str(package_file), *DATA, "--wait")
    assert result.exit_code == 1
    assert "Received: FAILED" in result.output
    assert "/#/runs/details/run-1" in result.output


def test_upload_makes_a_pipeline_and_then_a_version_of_it(api: Api, package_file: Path) -> None:
    first = covers("upload", str(package_file))
    assert "Pipeline pipeline-1, version version-1:" in first.output
    again = covers("upload", str(package_file), "--version", "v2")
    assert "Pipeline pipeline-1, version version-2:" in again.output
    uploads = [query for _, path, query, _ in api.requests if path.endswith("upload_version")]
    assert uploads == [{"name": ["v2"], "pipelineid": ["pipeline-1"]}]


def test_schedule_uploads_and_makes_a_recurring_run(api: Api, package_file: Path) -> None:
    result = covers("schedule", str(package_file), *DATA, "--cron", "0 0 3 * * *")
    assert result.exit_code == 0, result.output
    assert "Recurring run recurring-1: http" in result.output
    recurring = api.sent("/recurringruns")
    assert recurring["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert recurring["pipeline_version_reference"] == {
        "pipeline_id": "pipeline-1", "pipeline_version_id": "version-1"
    }  # fmt: skip
    assert recurring["no_catchup"] is True
    assert recurring["runtime_config"]["parameters"]["data"] == "s3://bucket/covers"


def test_schedule_by_an_interval(api: Api, package_file: Path) -> None:
    assert covers("schedule", str(package_file), *DATA, "--every", "12").exit_code == 0
    trigger = api.sent("/recurringruns")["trigger"]
    assert int(trigger["periodic_schedule"]["interval_second"]) == 12 * 3600


def test_a_schedule_needs_one_kind_of_time(package_file: Path) -> None:
    result = covers("schedule", str(package_file), *DATA, "--cron", "0 0 3 * * *", "--every", "1")
    assert result.exit_code == 2
    assert "one of --cron and --every" in result.output


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "--token"), (403, "--namespace"), (400, "no such pipeline root")]
)
def test_a_refusal_of_the_api_is_told_without_a_traceback(
    api: Api, package_file: Path, status: int, hint: str
) -> None:
    api.refusal = (status, "no such pipeline root")
    result = covers("submit", str(package_file), *DATA)
    assert result.exit_code == 1
    assert f"Received: {status}" in result.output
    assert hint in result.output


def test_without_kfp_it_says_how_to_get_it(package_file: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "kfp.client", None)
    result = covers("submit", str(package_file), *DATA)
    assert result.exit_code == 2
    assert "make kfp" in result.output


def test_an_api_that_is_not_there(package_file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("kfp.client", reason="tfx-1.21 has no kfp from Python 3.12 on")
    monkeypatch.setenv("HOME", str(tmp_path))
    result = covers("submit", str(package_file), *DATA, "--host", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "Expected to reach http://127.0.0.1:9." in result.output
    assert "port-forward" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "Expected a value for data, push_destination"),
        ((*DATA, "-p", "dta=x"), "data, push_destination, training. Received: 'dta=x'"),
        ((*DATA, "--set", "trainer.epochs=0"), "trainer.epochs: Expected a value greater than"),
        (
            (*DATA, "--set", "ingest.span=1"),
            "only the training options of a compiled pipeline can be changed",
        ),
        ((*DATA, "-p", "training={}"), "training.config: Expected a value. Received: none."),
        ((*DATA, "-p", "training={", "--set", "trainer.epochs=1"), "Received: Invalid JSON"),
        ((*DATA, "--pipeline-root", "/tmp/here"), "Expected a pipeline root in an object store"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_sent(
    package_file: Path, arguments: tuple[str, ...], expected: str
) -> None:
    result = covers("submit", str(package_file), *arguments)
    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())


def test_a_file_that_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\n")
    result = covers("submit", str(tmp_path / "x.yaml"), *DATA)
    assert result.exit_code == 2
    assert "to be a package for Kubeflow Pipelines" in result.output


def test_training_options_start_from_the_given_parameter(package_file: Path) -> None:
    package = CompiledPackage.from_file(package_file)
    training = json.loads(package.parameters["training"]["defaultValue"])
    training["config"]["seed"] = 5
    values = parameter_values(
        package,
        [*DATA[1::2], f"training={json.dumps(training)}"],
        ["trainer.epochs=3"],
    )
    changed = json.loads(values["training"])["config"]
    assert (changed["seed"], changed["epochs"]) == (5, 3)
