"""The entrypoint on ExecutorInputs of the shapes that back ends give."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tfx.components.util.model_utils import is_model_blessed
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import standard_artifacts

from components.contracts.decisions import DataRefused, Decision, Refusal, write_decision
from components.contracts.nodes import STORED_AS
from components.contracts.pushed_models import push_model
from components.contracts.signatures import ModelDescription, write_model_description
from components.support.errors import (
    ConfigError,
    CoversError,
    DataError,
    DeploymentError,
    ModelNotBlessed,
)
from pipeline.kubeflow.container import entrypoint, tasks
from pipeline.kubeflow.container.executor_input import import_class, read_task_input
from pipeline.kubeflow.container.refusals import gate_decision
from pipeline.kubeflow.container.staging import ROOT_VARIABLE, Names, staged_path

Json = dict[str, Any]

EXAMPLES = {
    "instanceSchema": "title: tfx.Examples\ntype: object\nproperties:\n  span:\n    type: integer\n"
    "  split_names:\n    type: string\n"
}
MODEL = {"instanceSchema": "title: tfx.Model\ntype: object\n"}
TRAINING = '{"config": {}, "code_fingerprint": "1"}'
SPEC = {
    "artifacts": {
        "examples": {"artifactType": EXAMPLES},
        "baseline_model": {"artifactType": MODEL},
        "quarantine": {
            "artifactType": {"instanceSchema": "title: covers.Quarantine\ntype: object\n"}
        },
        "model_blessing": {"artifactType": {"schemaTitle": "tfx.ModelBlessing"}},
    },
    "parameters": {
        "epochs": {"parameterType": "NUMBER_INTEGER"},
        "rate": {"parameterType": "NUMBER_DOUBLE"},
        "custom_config": {"parameterType": "STRING"},
    },
}

# As the driver of 2.17 gave it: no types of inputs, names that are ids of ML Metadata, wrapped
# values, properties of the back end, an output of its own, and the output file below the task.
RECORDED: Json = {
    "inputs": {
        "artifacts": {
            "examples": {
                "artifacts": [
                    {
                        "name": "17",
                        "type": {},
                        "uri": "minio://mlpipeline/v2/artifacts/tiny/run/Gen/salt/examples",
                        "metadata": {
                            "split_names": '["train", "eval"]',
                            "span": 3.0,
                            "display_name": "examples",
                            "store_session_info": '{"Provider":"minio"}',
                            "shards": {"list": [1.0, 2.0]},
                            "counts": {"struct": {"train": 2.0}},
                            "nothing": None,
                        },
                    }
                ]
            },
            "quarantine": {
                "artifacts": [{"name": "18", "type": {}, "uri": "minio://mlpipeline/q"}]
            },
            "model_blessing": {
                "artifacts": [
                    {
                        "name": "19",
                        "type": {},
                        "uri": "s3://bucket/blessing",
                        "metadata": {"blessed": 1.0, "current_model": "s3://bucket/model"},
                    }
                ]
            },
        },
        "parameterValues": {"epochs": 5.0, "rate": 1.0, "custom_config": {"seed": 1.0}},
    },
    "outputs": {
        "artifacts": {
            "model": {
                "artifacts": [
                    {"name": "model", "uri": "minio://mlpipeline/v2/task/model", "type": MODEL}
                ]
            },
            "executor-logs": {
                "artifacts": [
                    {
                        "name": "executor-logs",
                        "uri": "minio://mlpipeline/v2/task/executor-logs-0",
                        "type": {"schemaTitle": "system.Artifact"},
                    }
                ]
            },
        },
        "outputFile": "/minio/mlpipeline/v2/task/output_metadata.json",
    },
}


@pytest.fixture(autouse=True)
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def recorded(staging: Path) -> Json:
    given = copy.deepcopy(RECORDED)
    given["outputs"]["outputFile"] = str(staging / "minio/mlpipeline/v2/task/output_metadata.json")
    return given


class Probe(BaseExecutor):
    """Does what a test sets as `work`."""

    work: Callable[[Json, Json, Json], None]

    def Do(self, input_dict: Json, output_dict: Json, exec_properties: Json) -> None:
        type(self).work(input_dict, output_dict, exec_properties)


def _run(given: Json, work: Callable[[Json, Json, Json], None], *more: str) -> int:
    Probe.work = staticmethod(work)
    return entrypoint.main(
        [
            "--executor_class_path", f"{Probe.__module__}.Probe",
            "--json_serialized_invocation_args", json.dumps(given),
            "--json_serialized_inputs_spec_args", json.dumps(SPEC),
            "--direct_running_mode=in_memory", *more,
        ]
    )  # fmt: skip


@pytest.fixture(autouse=True)
def executor_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrypoint, "import_class", lambda path: Probe)
    # The process is pytest's: it keeps its logging and arguments.
    monkeypatch.setattr(entrypoint, "_set_up_logging", lambda: None)
    monkeypatch.setattr("sys.argv", ["entrypoint"])


def _output(given: Json) -> Json:
    written: Json = json.loads(Path(given["outputs"]["outputFile"]).read_text())
    return written


def test_inputs_get_their_declared_types_and_local_paths(recorded: Json, staging: Path) -> None:
    task = read_task_input(json.dumps(recorded), json.dumps(SPEC))
    (examples,) = task.inputs["examples"]
    assert isinstance(examples, standard_artifacts.Examples)
    assert examples.uri == f"{staging}/minio/mlpipeline/v2/artifacts/tiny/run/Gen/salt/examples"
    assert examples.id == 17
    stored_as = examples.get_string_custom_property(STORED_AS)
    assert stored_as == "minio://mlpipeline/v2/artifacts/tiny/run/Gen/salt/examples"
    (quarantine,) = task.inputs["quarantine"]
    assert type(quarantine).__name__ == "Quarantine"
    assert Path(quarantine.uri).is_dir()


def test_metadata_is_unwrapped_and_that_of_the_back_end_left_out(recorded: Json) -> None:
    (examples,) = read_task_input(json.dumps(recorded), json.dumps(SPEC)).inputs["examples"]
    assert (examples.span, examples.split_names) == (3, '["train", "eval"]')
    assert examples.get_json_value_custom_property("shards") == [1, 2]
    assert examples.get_json_value_custom_property("counts") == {"train": 2}
    custom = set(examples.mlmd_artifact.custom_properties)
    assert custom == {"shards", "counts", STORED_AS}


def test_numbers_answer_as_what_an_executor_asks_for(recorded: Json) -> None:
    (blessing,) = read_task_input(json.dumps(recorded), json.dumps(SPEC)).inputs["model_blessing"]
    assert is_model_blessed(blessing)
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_float_custom_property("blessed") == 1.0
    assert blessing.get_string_custom_property("current_model") == "s3://bucket/model"


def test_parameters_have_the_declared_types(recorded: Json) -> None:
    given = read_task_input(json.dumps(recorded), json.dumps(SPEC)).exec_properties
    assert given == {"epochs": 5, "rate": 1.0, "custom_config": '{"seed": 1.0}'}
    assert isinstance(given["epochs"], int)


def test_only_the_executors_own_outputs_are_handed_to_it(recorded: Json, staging: Path) -> None:
    task = read_task_input(json.dumps(recorded), json.dumps(SPEC))
    assert set(task.outputs) == {"model"}
    assert task.outputs["model"][0].uri == f"{staging}/minio/mlpipeline/v2/task/model"
    assert Path(task.outputs["model"][0].uri).is_dir()


def test_an_absent_optional_input_is_left_out(recorded: Json) -> None:
    recorded["inputs"]["artifacts"]["baseline_model"] = {
        "artifacts": [{"name": "20", "uri": "s3://b/none", "metadata": {"covers_absent": 1.0}}]
    }
    task = read_task_input(json.dumps(recorded), json.dumps(SPEC))
    assert task.inputs["baseline_model"] == []


def test_a_custom_path_of_the_launcher_is_used(recorded: Json, tmp_path: Path) -> None:
    given = recorded["inputs"]["artifacts"]["examples"]["artifacts"][0]
    given["customPath"] = str(tmp_path / "elsewhere")
    task = read_task_input(json.dumps(recorded), json.dumps(SPEC))
    assert task.inputs["examples"][0].uri == str(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://b/k", "/minio/b/k"), ("s3://b/k", "/s3/b/k"), ("gs://b/k", "/gcs/b/k"),
        ("/tmp/kfp_outputs/output_metadata.json", "/tmp/kfp_outputs/output_metadata.json"),
    ],
)  # fmt: skip
def test_staged_paths_are_the_launchers(
    uri: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ROOT_VARIABLE)
    assert staged_path(uri) == path


def test_what_the_executor_leaves_becomes_metadata_with_uris(recorded: Json) -> None:
    def work(inputs: Json, outputs: Json, properties: Json) -> None:
        model = outputs["model"][0]
        model.set_int_custom_property("epochs", properties["epochs"])
        model.set_string_custom_property("from", f"{inputs['examples'][0].uri}/Split-train")
        model.set_json_value_custom_property("history", [{"loss": 0.5, "auc": None}])

    assert _run(recorded, work) == 0
    (model,) = _output(recorded)["artifacts"]["model"]["artifacts"]
    assert model["uri"] == "minio://mlpipeline/v2/task/model"
    metadata = model["metadata"]
    assert metadata["epochs"] == 5
    assert metadata["from"].startswith(
        "minio://mlpipeline/v2/artifacts/tiny/run/Gen/salt/examples/"
    )
    assert metadata["history"] == [{"loss": 0.5}]
    assert metadata["tfx_version"]


def test_an_output_that_is_not_written_is_marked_absent(recorded: Json) -> None:
    def work(inputs: Json, outputs: Json, properties: Json) -> None:
        outputs["model"] = []

    assert _run(recorded, work) == 0
    (model,) = _output(recorded)["artifacts"]["model"]["artifacts"]
    assert model["metadata"] == {"covers_absent": 1}


def _refuse(error: CoversError) -> Callable[[Json, Json, Json], None]:
    def work(inputs: Json, outputs: Json, properties: Json) -> None:
        raise type(error)(f"{error} See {inputs['quarantine'][0].uri}/quarantine.jsonl.")

    return work


@pytest.mark.parametrize(("error", "code"), [(DataError("No."), 3), (CoversError("Broken."), 1)])
def test_a_foreseen_error_is_the_last_line_without_a_traceback(
    recorded: Json, error: CoversError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(recorded, _refuse(error)) == code
    said = capsys.readouterr().err
    last = said.strip().splitlines()[-1]
    assert last == f"{type(error).__name__}: {error} See minio://mlpipeline/q/quarantine.jsonl."
    assert "Traceback" not in said
    assert not Path(recorded["outputs"]["outputFile"]).exists()


def _decide(*refusals: str) -> Callable[[Json, Json, Json], None]:
    """A gate that refuses for these reasons, or for none."""

    def work(inputs: Json, outputs: Json, properties: Json) -> None:
        place = f"{inputs['quarantine'][0].uri}/quarantine.jsonl"
        found = tuple(Refusal("rows", f"{text} See {place}.") for text in refusals)
        decision = Decision("DataGate", "Stopped", found)
        write_decision(outputs["decision"][0].uri, decision)
        if refusals:
            raise DataRefused(decision)

    return work


def _add_refusal(given: Json, staging: Path) -> Path:
    decision = {"schemaTitle": "covers.GateDecision"}
    given["outputs"]["artifacts"]["decision"] = {
        "artifacts": [{"name": "decision", "uri": "s3://b/task/decision", "type": decision}]
    }
    html = {"schemaTitle": "system.HTML"}
    given["outputs"]["artifacts"]["refusal_page"] = {
        "artifacts": [{"name": "refusal_page", "uri": "s3://b/task/refusal_page", "type": html}]
    }
    given["outputs"]["parameters"] = {"refusal": {"outputFile": str(staging / "refusal")}}
    return staging / "s3/b/task/refusal_page"


def test_a_gate_publishes_its_refusal_and_succeeds(recorded: Json, staging: Path) -> None:
    page = _add_refusal(recorded, staging)
    assert _run(recorded, _decide("<b>20</b> of 200 rows."), "--gate", "DataGate") == 0
    assert "refusal_page" in _output(recorded)["artifacts"]  # kfp's local runner wants it named
    reason = _output(recorded)["parameterValues"]["refusal"]
    assert reason == (
        "Stopped: 1 problem.\n  <b>20</b> of 200 rows. See minio://mlpipeline/q/quarantine.jsonl."
    )
    text = page.read_text()
    assert "DataGate: refused" in text
    assert "&lt;b&gt;20&lt;/b&gt; of 200 rows. See minio://" in text
    assert "http" not in text


@pytest.mark.parametrize("key", ["decision", "evaluation", "blessing"])
def test_each_gate_has_its_decision_in_an_output(tmp_path: Path, key: str) -> None:
    """The Evaluator has a blessing as well, which holds none."""
    decision = Decision(key, "Stopped", (Refusal("rows", "Too few."),))
    write_decision(tmp_path / key, decision)
    outputs = {}
    for name in {key, *(["blessing"] if key == "evaluation" else [])}:
        artifact = standard_artifacts.InfraBlessing()
        artifact.uri = str(tmp_path / name)
        outputs[name] = [artifact]
    assert gate_decision(outputs) == decision


def test_a_gate_that_lets_pass_says_so(recorded: Json, staging: Path) -> None:
    page = _add_refusal(recorded, staging)
    assert _run(recorded, _decide(), "--gate", "DataGate") == 0
    assert _output(recorded)["parameterValues"] == {"refusal": ""}
    assert "DataGate: passed" in page.read_text()


def test_an_error_of_a_gate_that_is_no_refusal_fails(recorded: Json, staging: Path) -> None:
    _add_refusal(recorded, staging)
    assert _run(recorded, _refuse(DeploymentError("Gone.")), "--gate", "DataGate") == 1


def test_a_long_reason_is_shortened_in_the_parameter_alone(recorded: Json, staging: Path) -> None:
    page = _add_refusal(recorded, staging)
    _run(recorded, _decide("x" * 20_000), "--gate", "DataGate")
    reason = _output(recorded)["parameterValues"]["refusal"]
    assert len(reason) < 10_000
    assert "the rest is on the page" in reason
    assert "x" * 20_000 in page.read_text()


def test_the_task_after_a_gate_fails_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code = ModelNotBlessed.exit_code
    assert tasks.main(["stop", "Evaluator", str(code), "rock: roc_auc 0.4"]) == code
    assert capsys.readouterr().err == "Evaluator refused. rock: roc_auc 0.4\n"
    assert tasks.main(["stop", "Evaluator", str(code), ""]) == 0


def test_the_fingerprint_task_writes_its_parameter(
    tmp_path: Path, write_cover: Callable[..., Path]
) -> None:
    write_cover(tmp_path / "covers" / "rock" / "1.jpg", 1)
    target = tmp_path / "outputs" / "fingerprint"
    words = ["fingerprint", str(tmp_path / "covers"), "{}", "33554432", TRAINING, str(target)]
    assert tasks.main(words) == 0
    first = target.read_text()
    write_cover(tmp_path / "covers" / "rock" / "1.jpg", 2)
    assert tasks.main(words) == 0
    assert len(first) == 64
    assert target.read_text() != first


def test_the_fingerprint_task_says_that_there_is_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fingerprint", str(tmp_path / "none"), "{}", "9", TRAINING, str(tmp_path / "out")]
    assert tasks.main(words) == 2
    assert "ConfigError: Expected a file or folder at" in capsys.readouterr().err


@pytest.mark.parametrize("training", ["{}", "{", "null", '{"config": {}, "epochs": 1}'])
def test_the_first_task_refuses_wrong_training_options(
    tmp_path: Path, training: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fingerprint", str(tmp_path / "none"), "{}", "9", training, str(tmp_path / "out")]
    assert tasks.main(words) == 2
    said = capsys.readouterr().err
    assert "ConfigError: Expected the parameter `training` to be what" in said
    assert "Received:" in said
    assert not (tmp_path / "out").exists()


def test_the_task_that_looks_for_the_baseline_writes_where_it_is(tmp_path: Path) -> None:
    """By the rule of BaselineModel: a version of the candidate's own recipe is none."""
    candidate = tmp_path / "candidate" / "Format-Serving"
    description = ModelDescription(("pop", "rock"), (0.5, 0.5), 48, "mine", {})
    write_model_description(candidate, description)
    serving, target = tmp_path / "serving", tmp_path / "outputs" / "version"
    found = []
    for recipe in ("mine", "other"):
        pushed = tmp_path / recipe
        write_model_description(pushed, dataclasses.replace(description, recipe=recipe))
        (pushed / "saved_model.pb").touch()
        version = push_model(pushed, str(serving))
        arguments = ["baseline_version", str(candidate.parent), f"{serving}/", str(target)]
        assert tasks.main(arguments) == 0
        found.append(target.read_text())
    assert found == ["", version.location]
    (Path(version.location) / "saved_model.pb").unlink()
    assert tasks.main(arguments) == DeploymentError.exit_code


def test_a_wrong_configuration_is_not_executed_again(
    recorded: Json, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    executed = []

    def refuse(*_: Any) -> None:
        executed.append(1)
        raise ConfigError("Expected more. Received: less.")

    retried = ("--retry_for", "60", "--state", "s3://bucket/state")
    for _ in range(3):
        assert _run(recorded, refuse, *retried) == ConfigError.exit_code
        assert "ConfigError: Expected more. Received: less." in capsys.readouterr().err
    assert len(executed) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"inputs": {}}'])
def test_something_else_than_an_executor_input(text: str) -> None:
    with pytest.raises(DeploymentError, match="Expected a"):
        read_task_input(text, json.dumps(SPEC))


def test_an_executor_that_the_image_lacks() -> None:
    with pytest.raises(DeploymentError, match=r"Expected the image to hold components\.no\.Such"):
        import_class("components.no.Such")


def test_an_artifact_type_that_the_image_does_not_know(recorded: Json) -> None:
    unknown = {"schemaTitle": "covers.Unheard"}
    recorded["outputs"]["artifacts"]["model"]["artifacts"][0]["type"] = unknown
    with pytest.raises(DeploymentError, match=r"no artifact class for the type 'covers\.Unheard'"):
        read_task_input(json.dumps(recorded), json.dumps(SPEC))


def test_a_path_that_begins_another_is_restored_by_itself() -> None:
    names = Names()
    names.add("/s3/b/model", "s3://b/model")
    names.add("/s3/b/model_run", "s3://b/other")
    assert (
        names.restore("/s3/b/model_run/x and /s3/b/model/y") == "s3://b/other/x and s3://b/model/y"
    )
