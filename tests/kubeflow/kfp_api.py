"""A stub of the API server of Kubeflow Pipelines, strict where the real one is.

Pipelines, versions, experiments, runs, recurring runs and the logs of pods, over HTTP. Pipelines
and versions are Kubernetes objects here (kubeflow/pipelines at 7b70c7b95f:
pipeline_store_kubernetes.go), so that names are checked. A field, a key of a filter or an address
that the real server does not have is an error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

from click.testing import CliRunner, Result

from pipeline.cli import main

Json = dict[str, Any]

V2 = "/apis/v2beta1"
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_FILTER_KEYS = {
    "pipelines": {"display_name": "display_name"},
    "recurringRuns": {"display_name": "display_name"},
    "runs": {"display_name": "display_name", "recurring_run_id": "recurring_run_id"},
}
_EXPERIMENT = {"display_name", "description", "namespace"}
_SOURCE = {"pipeline_spec", "pipeline_version_reference"}
_RUN = {*_SOURCE, "display_name", "description", "experiment_id", "runtime_config",
        "service_account"}  # fmt: skip
_RECURRING_RUN = {*_RUN, "max_concurrency", "trigger", "mode", "no_catchup"}
_UPLOAD = {"name", "display_name", "description", "namespace"}
_UPLOAD_VERSION = {"name", "display_name", "description", "pipelineid"}


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass
class Request:
    """What the server was sent."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    token: str | None


class KfpApi:
    """The state of an installation; keeps what it was sent.

    Attributes:
        requests: all of them, oldest first.
        refusals: answers to give instead, each to one request; `always` answers all.
        run_states: what a run says each time that it is asked; the last stays.
        task_details: of every run.
        logs: pod -> its log.
        logs_at: which of the two servers serves logs: the user interface, or the API itself.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.refusals: list[tuple[int, str]] = []
        self.always: tuple[int, str] | None = None
        self.run_states = ["SUCCEEDED"]
        self.task_details: list[Json] = []
        self.logs: dict[str, str] = {}
        self.logs_at = "/k8s/pod/logs"
        self.page_size = 2
        self.experiments: list[Json] = []
        self.pipelines: list[Json] = []
        self.versions: list[Json] = []
        self.runs: list[Json] = []
        self.recurring_runs: list[Json] = []
        self._ids = 0

    def sent(self, resource: str) -> Any:
        """Returns the body of the last POST of a resource."""
        bodies = [r.body for r in self.requests if (r.method, r.path) == ("POST", V2 + resource)]
        assert bodies, f"nothing was posted to {resource}"
        return bodies[-1]

    def changes(self) -> list[str]:
        """Returns what was changed, such as "POST /runs", oldest first."""
        return [f"{r.method} {r.path.removeprefix(V2)}" for r in self.requests if r.method != "GET"]

    def schedule(self, name: str) -> Json:
        """Returns the recurring run of a name; there must be one."""
        (found,) = [one for one in self.recurring_runs if one["display_name"] == name]
        return found

    def start_run_of(self, schedule: Json, state: str = "RUNNING") -> Json:
        """Starts a run as the controller of schedules does."""
        run = {
            "run_id": self._new_id("run"),
            "display_name": f"{schedule['display_name']} 1",
            "recurring_run_id": schedule["recurring_run_id"],
            "state": state,
        }
        self.runs.append(run)
        return run

    def answer(self, request: Request) -> Any:
        """Returns the answer to a request.

        Raises:
            Refusal: it is refused.
        """
        if request.path == V2 + "/healthz":
            return {"multi_user": False}
        if self.always:
            raise Refusal(*self.always)
        if self.refusals:
            raise Refusal(*self.refusals.pop(0))
        for method, pattern, handler in self._routes():
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                return handler(request, *map(unquote, found.groups()))
        raise Refusal(404, f"Not Found: {request.method} {request.path}")

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        one = r"/([^/:]+)"
        routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", "/experiments", self._list_experiments),
            ("POST", "/experiments", self._create_experiment),
            ("GET", f"/experiments{one}", self._get_experiment),
            ("GET", "/pipelines", self._list_pipelines),
            ("POST", "/pipelines/upload", self._upload),
            ("POST", "/pipelines/upload_version", self._upload_version),
            ("GET", f"/pipelines{one}/versions", self._list_versions),
            ("POST", "/runs", self._create_run),
            ("GET", "/runs", self._list_runs),
            ("GET", f"/runs{one}", self._get_run),
            ("POST", "/recurringruns", self._create_recurring_run),
            ("GET", "/recurringruns", self._list_recurring_runs),
            ("GET", f"/recurringruns{one}", self._get_recurring_run),
            ("POST", f"/recurringruns{one}:(enable|disable)", self._switch),
            ("DELETE", f"/recurringruns{one}", self._delete_recurring_run),
        ]
        return [(method, V2 + pattern, handler) for method, pattern, handler in routes] + [
            ("GET", "/k8s/pod/logs", self._log_of_user_interface),
            ("GET", "/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", self._log_of_api),
        ]

    def _list_experiments(self, request: Request) -> Json:
        return {"experiments": self.experiments}

    def _create_experiment(self, request: Request) -> Json:
        _only(request.body, _EXPERIMENT)
        if any(one["display_name"] == request.body["display_name"] for one in self.experiments):
            raise Refusal(409, "The experiment exists already")
        self.experiments.append({**request.body, "experiment_id": self._new_id("experiment")})
        return self.experiments[-1]

    def _get_experiment(self, request: Request, identity: str) -> Json:
        return _one(self.experiments, "experiment_id", identity)

    def _list_pipelines(self, request: Request) -> Json:
        return self._page(request, "pipelines", self.pipelines)

    def _upload(self, request: Request) -> Json:
        _only(request.query, _UPLOAD)
        name = request.query["name"]
        _object_name(name, 128)
        if any(pipeline["name"] == name for pipeline in self.pipelines):
            raise Refusal(409, "Failed to create a pipeline and a pipeline version")
        pipeline = {"pipeline_id": self._new_id("pipeline"), "name": name, "display_name": name}
        self.pipelines.append(pipeline)
        self._add_version(pipeline["pipeline_id"], name)
        return pipeline

    def _upload_version(self, request: Request) -> Json:
        _only(request.query, _UPLOAD_VERSION)
        pipeline = _one(self.pipelines, "pipeline_id", request.query["pipelineid"])
        name = request.query["name"]
        _object_name(name, 127)
        _object_name(f"{pipeline['name']}-{name}", 253)
        if any(
            (version["pipeline_id"], version["name"]) == (pipeline["pipeline_id"], name)
            for version in self.versions
        ):
            raise Refusal(409, "Failed to create a pipeline version")
        return self._add_version(pipeline["pipeline_id"], name)

    def _add_version(self, pipeline_id: str, name: str) -> Json:
        version = {
            "pipeline_id": pipeline_id,
            "pipeline_version_id": self._new_id("version"),
            "name": name,
            "display_name": name,
        }
        self.versions.append(version)
        return version

    def _list_versions(self, request: Request, pipeline_id: str) -> Json:
        of_it = [version for version in self.versions if version["pipeline_id"] == pipeline_id]
        return {"pipeline_versions": of_it}

    def _create_run(self, request: Request) -> Json:
        self._check_source(request.body, _RUN)
        run = {**request.body, "run_id": self._new_id("run"), "state": "PENDING"}
        self.runs.append(run)
        return run

    def _list_runs(self, request: Request) -> Json:
        return self._page(request, "runs", self.runs)

    def _get_run(self, request: Request, run_id: str) -> Json:
        run = _one(self.runs, "run_id", run_id)
        run["state"] = self.run_states.pop(0) if len(self.run_states) > 1 else self.run_states[0]
        return {
            **run,
            "created_at": "2026-01-02T03:04:05Z",
            "run_details": {"task_details": self.task_details},
        }

    def _create_recurring_run(self, request: Request) -> Json:
        self._check_source(request.body, _RECURRING_RUN)
        if not 1 <= int(request.body["max_concurrency"]) <= 10:
            raise Refusal(400, "The max concurrency of the recurring run is out of range")
        name = re.sub(r"[^a-z0-9-]+", "", request.body["display_name"].lower()) or "job-"
        _object_name(f"{name[:25]}x7b2k", 253)
        status = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[request.body["mode"]]
        recurring_run = {
            **request.body,
            "recurring_run_id": self._new_id("recurring"),
            "status": status,
            "created_at": "2026-01-02T03:04:05Z",
        }
        self.recurring_runs.append(recurring_run)
        return recurring_run

    def _check_source(self, body: Json, fields: set[str]) -> None:
        _only(body, fields)
        if len(_SOURCE & set(body)) != 1:
            raise Refusal(400, "Expected one source of the pipeline")
        _one(self.experiments, "experiment_id", body["experiment_id"])
        if reference := body.get("pipeline_version_reference"):
            version = _one(self.versions, "pipeline_version_id", reference["pipeline_version_id"])
            if version["pipeline_id"] != reference["pipeline_id"]:
                raise Refusal(400, "The version is of another pipeline")

    def _list_recurring_runs(self, request: Request) -> Json:
        return self._page(request, "recurringRuns", self.recurring_runs)

    def _get_recurring_run(self, request: Request, identity: str) -> Json:
        return _one(self.recurring_runs, "recurring_run_id", identity)

    def _switch(self, request: Request, identity: str, change: str) -> Json:
        recurring_run = _one(self.recurring_runs, "recurring_run_id", identity)
        recurring_run["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[change]
        return {}

    def _delete_recurring_run(self, request: Request, identity: str) -> Json:
        self.recurring_runs.remove(_one(self.recurring_runs, "recurring_run_id", identity))
        # Their workflows belong to the object of the schedule, and the cluster removes them.
        for run in self.runs:
            if run.get("recurring_run_id") == identity and run["state"] not in ENDED:
                run["state"] = "FAILED"
        return {}

    def _log_of_user_interface(self, request: Request) -> str:
        if self.logs_at != request.path:
            raise Refusal(404, "Cannot GET /k8s/pod/logs")
        _only(request.query, {"podname", "runid", "podnamespace", "createdat"})
        if request.query["podname"] not in self.logs:
            raise Refusal(500, "Could not get main container logs: Error: pods not found")
        return self.logs[request.query["podname"]]

    def _log_of_api(self, request: Request, run_id: str, pod: str) -> str:
        if self.logs_at != "/apis/v1alpha1":
            raise Refusal(404, f"Cannot GET {request.path}")
        # The real server, too, has said 200 before it notices.
        return self.logs.get(pod, json.dumps({"error_message": f"Failed to read logs of {run_id}"}))

    def _page(self, request: Request, field: str, items: list[Json]) -> Json:
        _only(request.query, {"page_token", "page_size", "sort_by", "filter", "namespace"})
        for predicate in json.loads(request.query.get("filter") or "{}").get("predicates", ()):
            _only(predicate, {"operation", "key", "stringValue", "string_value"})
            if predicate["operation"] not in (1, "EQUALS"):
                raise Refusal(400, f"Unknown operation {predicate['operation']}")
            key = _FILTER_KEYS[field].get(predicate["key"])
            if key is None:
                raise Refusal(400, f"No such field: {predicate['key']}")
            wanted = predicate.get("stringValue", predicate.get("string_value"))
            items = [item for item in items if item.get(key) == wanted]
        begin = int(request.query.get("page_token") or 0)
        end = begin + min(int(request.query.get("page_size") or 10), self.page_size)
        answer: Json = {field: items[begin:end], "total_size": len(items)}
        if end < len(items):
            answer["next_page_token"] = str(end)
        return answer

    def _new_id(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}-{self._ids}"


def _only(fields: Json | dict[str, str], known: set[str]) -> None:
    unknown = sorted(set(fields) - known)
    if unknown:
        raise Refusal(400, f"unknown field {', '.join(unknown)}")


def _one(items: list[Json], key: str, identity: str) -> Json:
    for item in items:
        if item[key] == identity:
            return item
    raise Refusal(404, f"{key} {identity} not found")


def _object_name(name: str, longest: int) -> None:
    if len(name) > longest or not _SUBDOMAIN.fullmatch(name):
        raise Refusal(400, f'Invalid name "{name}": a lowercase RFC 1123 subdomain must consist of')


def covers(*arguments: str) -> Result:
    """Returns what the command line prints, and how it ends; it may end in no other way."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@contextlib.contextmanager
def serving(api: KfpApi) -> Iterator[str]:
    """Serves the API; yields its URL."""
    handler = type("StubHandler", (_Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    api: KfpApi

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_DELETE(self) -> None:
        self._respond()

    def _respond(self) -> None:
        url = urlparse(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            method=self.command,
            path=url.path,
            query={key: values[0] for key, values in parse_qs(url.query).items()},
            body=json.loads(content) if content.startswith(b"{") else content,
            token=self.headers.get("authorization"),
        )
        self.api.requests.append(request)
        status = 200
        try:
            answer = self.api.answer(request)
        except Refusal as refusal:
            status, answer = refusal.status, {"message": str(refusal)}
        payload = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass
