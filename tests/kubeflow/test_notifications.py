"""Tasks that tell a web hook how a run ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kfp_backend import Backend
from tfx.types import standard_artifacts

from components.contracts import nodes
from components.contracts.artifacts import Report
from components.contracts.decisions import Decision, Refusal, write_decision
from components.support.errors import ConfigError
from pipeline.config import load_config
from pipeline.kubeflow.compile import Target, compile_pipeline
from pipeline.kubeflow.container import entrypoint, tasks
from pipeline.kubeflow.container.notifying import SETTINGS_VARIABLE, run_id_of, tell_verdict
from pipeline.kubeflow.container.staging import Names
from tests.web_hooks import SECRET, Hook, listening

Spec = dict[str, Any]
SMALL = {
    "DataFingerprint",
    "DataGateStop",
    "BaselineVersion",
    "EvaluatorStop",
    "InfraValidatorStop",
}
CLUSTER = Path(__file__).parents[2] / "docs/kubernetes/cluster.yaml"
RUN = "s3://bucket/root/tiny/run-7"


@pytest.fixture(scope="module")
def package(tiny_config: Path) -> Spec:
    config = load_config(tiny_config, ["notifications.url_variable=HOOK"])
    return compile_pipeline(config).documents[0]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, package: Spec) -> Iterator[Hook]:
    """Listens where the containers of the package are told to call."""
    with listening() as hook:
        monkeypatch.setenv("HOOK", hook.url)
        (variable,) = _container(package, "Trainer")["env"]
        monkeypatch.setenv(variable["name"], variable["value"])
        yield hook


def _container(spec: Spec, task: str) -> Spec:
    component = spec["root"]["dag"]["tasks"][task]["componentRef"]["name"]
    label = spec["components"][component]["executorLabel"]
    container: Spec = spec["deploymentSpec"]["executors"][label]["container"]
    return container


def _payload(hook: Hook) -> Spec:
    ((_, payload),) = hook.received
    assert payload["pipeline"] == "tiny"
    return payload  # type: ignore[no-any-return]


def test_every_container_knows_whom_to_tell_and_no_cache_does(
    package: Spec, tiny_package: Spec
) -> None:
    for name in package["root"]["dag"]["tasks"]:
        container, without = _container(package, name), _container(tiny_package, name)
        assert [one["name"] for one in container["env"]] == [SETTINGS_VARIABLE]
        if name not in SMALL | {"ReportGen"}:  # which has the configuration, and is never cached
            assert container["args"] == without["args"]
    assert SETTINGS_VARIABLE not in json.dumps(tiny_package)


def test_the_small_tasks_know_the_run(package: Spec) -> None:
    for name in SMALL:
        given = package["root"]["dag"]["tasks"][name]["inputs"]["parameters"]
        assert given["run_id"] == {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}
        words = _container(package, name)["args"][:3]
        page = "{{$.inputs.artifacts['refusal_page'].uri}}" if name == "DataGateStop" else ""
        assert words == ["notify", "{{$.inputs.parameters['run_id']}}", page]


def test_the_back_end_says_which_run_it_is(package: Spec, hook: Hook, tmp_path: Path) -> None:
    runs = Backend(tmp_path).run(
        [package],
        pipeline_root="s3://bucket/root",
        parameters={"data": str(tmp_path / "none"), "push_destination": "none"},
        only={"DataFingerprint"},
    )
    assert runs["DataFingerprint"].state == "failed"
    assert "Notified the web hook." in runs["DataFingerprint"].log
    assert SECRET not in runs["DataFingerprint"].log
    assert re.fullmatch(r"[0-9a-f-]{36}", _payload(hook)["run_id"])


def test_refused_data_are_told_with_the_page(
    hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "The data were stopped: 1 problem.\n  20 of 200 rows.\n    Mend them."
    assert tasks.main(["notify", "run-7", f"{RUN}/page", "stop", "DataGate", "3", reason]) == 3
    payload = _payload(hook)
    assert payload["outcome"] == "data_stopped"
    assert payload["run_id"] == "run-7"
    assert payload["reasons"] == ["20 of 200 rows.", "Mend them."]
    assert payload["report"] == f"{RUN}/page"
    said = capsys.readouterr().err
    assert said.startswith("Notified the web hook.\nDataGate refused.")


def test_a_refusal_after_the_report_is_not_told_twice(hook: Hook) -> None:
    assert tasks.main(["notify", "run-7", "", "stop", "Evaluator", "4", "rock: 0.4"]) == 4
    assert tasks.main(["notify", "run-7", f"{RUN}/page", "stop", "DataGate", "3", ""]) == 0
    assert hook.received == []


def test_a_small_task_that_fails_tells(hook: Hook, tmp_path: Path) -> None:
    words = ["fingerprint", str(tmp_path / "none"), "{}", "9", "{}", str(tmp_path / "out")]
    assert tasks.main(["notify", "run-7", "", *words]) == ConfigError.exit_code
    payload = _payload(hook)
    assert payload["outcome"] == "misconfigured"
    assert payload["run_id"] == "run-7"


def test_a_small_task_that_fails_unexpectedly_tells(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: str) -> int:
        raise ValueError(SECRET)

    monkeypatch.setattr(tasks, "_fingerprint", fail)
    with pytest.raises(ValueError, match=SECRET):
        tasks.main(["notify", "run-7", "", "fingerprint"])
    payload = _payload(hook)
    assert payload["outcome"] == "failed"
    assert payload["reasons"] == ["Unexpected ValueError; see the log."]


def test_an_attempt_after_a_final_one_tells_nothing(hook: Hook, tmp_path: Path) -> None:
    given = {"outputs": {"artifacts": {"log": {"artifacts": [{"uri": f"{RUN}/Task/log"}]}}}}
    words = ["--attempts", str(tmp_path / "state"), "60", json.dumps(given)]
    words += ["fingerprint", str(tmp_path / "none"), "{}", "9", "{}", str(tmp_path / "out")]
    for _ in range(2):
        assert tasks.main(["notify", "run-7", "", *words]) == ConfigError.exit_code
    _payload(hook)


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (ConfigError("Expected a schema."), "misconfigured", "Expected a schema."),
        (ValueError(SECRET), "failed", "Unexpected ValueError; see the log."),
    ],
)
def test_a_task_that_fails_tells(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: str, reason: str
) -> None:
    def fail(path: str) -> None:
        raise error

    monkeypatch.setattr(entrypoint, "import_class", fail)
    words = ["executor_class_path", "json_serialized_invocation_args"]
    words += ["json_serialized_inputs_spec_args"]
    arguments = [part for word in words for part in (f"--{word}", "x")]
    if isinstance(error, ConfigError):
        assert entrypoint.main(arguments) == 2
    else:
        with pytest.raises(ValueError, match=SECRET):
            entrypoint.main(arguments)
    payload = _payload(hook)
    assert (payload["outcome"], payload["reasons"]) == (outcome, [reason])


@pytest.mark.parametrize("pushed", [True, False])
def test_the_verdict_is_told_by_the_task_that_reports(
    hook: Hook, tmp_path: Path, pushed: bool
) -> None:
    names, inputs = Names(), {}
    refusals = () if pushed else (Refusal("rock", f"rock: see {tmp_path}/evaluation."),)
    for key, kind in (
        (nodes.EVALUATION, standard_artifacts.ModelEvaluation),
        (nodes.INFRA_BLESSING, standard_artifacts.InfraBlessing),
        (nodes.PUSHED_MODEL, standard_artifacts.PushedModel),
    ):
        artifact = kind()
        artifact.uri = str(tmp_path / key)
        names.add(artifact.uri, f"{RUN}/{key}")
        inputs[key] = [artifact]
    write_decision(tmp_path / nodes.EVALUATION, Decision("Evaluator", "Refused", refusals))
    write_decision(tmp_path / nodes.INFRA_BLESSING, Decision("InfraValidator", "Refused"))
    model = inputs[nodes.PUSHED_MODEL][0]
    model.set_int_custom_property(nodes.PUSHED, int(pushed))
    if pushed:
        model.set_string_custom_property(nodes.PUSHED_DESTINATION, "s3://bucket/serving/17")
    report = Report()
    report.uri = str(tmp_path / "report")
    names.add(report.uri, f"{RUN}/ReportGen/9/report")
    outputs = {nodes.REPORT: [report]}
    task: Any = SimpleNamespace(inputs=inputs, outputs=outputs, names=names)
    tell_verdict(task, {})
    assert hook.received == []
    tell_verdict(task, outputs)
    payload = _payload(hook)
    assert payload["outcome"] == ("pushed" if pushed else "not_blessed")
    assert payload["run_id"] == run_id_of(task) == "run-7"
    assert payload["version"] == ("17" if pushed else None)
    assert payload["reasons"] == ([] if pushed else [f"rock: see {RUN}/evaluation."])
    assert payload["report"] == f"{RUN}/ReportGen/9/report"


@pytest.mark.parametrize("pipeline", ["covers", "serving", "artifacts", "nightly"])
@pytest.mark.parametrize("task_id", ["", "/42", "/9f8e7d6c-1111-2222-3333-444455556666"])
@pytest.mark.parametrize("root", ["s3://{0}", "s3://{0}/{0}", "gs://b/{0}/runs", None])
def test_the_run_is_found_wherever_else_the_pipeline_is_named(
    monkeypatch: pytest.MonkeyPatch, pipeline: str, task_id: str, root: str | None
) -> None:
    """As in the cluster.yaml that is shipped, where bucket and pipeline are both named covers."""
    run = "0f0e0d0c-1111-2222-3333-444455556666"
    folder = root.format(pipeline) if root else yaml.safe_load(CLUSTER.read_text())["pipeline_root"]
    artifact = SimpleNamespace(uri=f"{folder}/{pipeline}/{run}/ReportGen{task_id}/report")
    monkeypatch.setenv(SETTINGS_VARIABLE, json.dumps({"pipeline": pipeline, "notifications": {}}))
    task: Any = SimpleNamespace(outputs={"report": [artifact]}, names=Names())
    assert run_id_of(task) == run


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T0/B0/SeCrEt",
        "https://example.webhook.office.com/webhookb2/SeCrEt",
        "https://discord.com/api/webhooks/1/SeCrEt",
        "http://covers-hook.covers.svc/told",
    ],
)
def test_no_url_enters_a_package(tiny_config: Path, target: Target, url: str) -> None:
    """Which of them are secrets, nobody but their owner can tell."""
    config = load_config(tiny_config, [f"notifications.url={url}"])
    with pytest.raises(ConfigError, match="url_variable") as raised:
        compile_pipeline(config, target)
    assert url not in str(raised.value)
    assert "SeCrEt" not in str(raised.value)


def test_nobody_is_told_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTINGS_VARIABLE, raising=False)
    assert tasks.main(["stop", "DataGate", "3", "Stopped."]) == 3
    assert run_id_of(None) == ""
