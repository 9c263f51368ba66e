"""The real pipeline on this machine: from covers to a pushed model, and what stops it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from components.contracts.signatures import CONFIG_FILE
from pipeline.cli import main
from tests.end_to_end.tiny import CONFIG, STAGES

pytestmark = pytest.mark.slow


def _read_report(result: dict[str, Any]) -> dict[str, Any]:
    page = Path(result["report"])
    assert page.name == "report.html"
    assert page.stat().st_size < 5_000_000
    report: dict[str, Any] = json.loads(page.with_suffix(".json").read_text())
    assert report["verdict"]["outcome"] == result["outcome"]
    assert report["verdict"]["headline"] in page.read_text()
    return report


Run = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, schema_path: Path) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    (root / "tiny.yaml").write_text(CONFIG.format(schema=schema_path))
    arguments = ["sample", str(root / "covers"), "--images", "200", "--seed", "3"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    return root


@pytest.fixture(scope="module")
def run(workspace: Path) -> Run:
    """Returns a function that runs the pipeline: its result, and what a person saw."""

    def start(*arguments: str, data: Path = workspace / "covers") -> tuple[dict[str, Any], str]:
        command = ["run", "--json", "--config", str(workspace / "tiny.yaml")]
        command += ["--data", str(data), "--pipeline-root", str(workspace / "root"), *arguments]
        outcome = CliRunner().invoke(main, command)
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit)
        result = json.loads(outcome.stdout.strip().splitlines()[-1])
        assert outcome.exit_code == result["exit_code"]
        assert "Traceback" not in outcome.output
        return result, outcome.stderr

    return start


@pytest.fixture(scope="module")
def first(run: Run) -> tuple[dict[str, Any], str]:
    return run()


def _copy(workspace: Path, name: str) -> Path:
    return Path(shutil.copytree(workspace / "covers", workspace / name))


def test_a_first_run_pushes_a_model(first: tuple[dict[str, Any], str]) -> None:
    result, seen = first
    assert result["outcome"] == "pushed"
    assert result["stages"] == dict.fromkeys(STAGES, "done")
    ingest = result["ingest"]
    assert ingest["rows_given"] == ingest["rows_ingested"] + ingest["rows_quarantined"] == 200
    assert "200 rows = 200 ingested + 0 quarantined" in seen
    assert f"PUSHED to {result['pushed_model']}" in seen
    assert "no pushed model to compare with" in seen
    assert len(seen.splitlines()) < 40
    assert f"Report: {result['report']}" in seen
    report = _read_report(result)
    assert report["evaluation"] == result["evaluation"]
    assert report["serving_check"]["state"] == "passed"
    assert report["verdict"]["compared_with"] is None
    card = json.loads((Path(result["pushed_model"]) / "assets.extra/model_card.json").read_text())
    assert card == report["model_card"]
    assert card["model_parameters"]["genres"] == result["evaluation"]["genres"]


def test_the_pushed_model_answers_through_both_signatures(
    first: tuple[dict[str, Any], str], workspace: Path
) -> None:
    import tensorflow as tf

    result, _ = first
    image = workspace / "covers" / "images" / "00000.jpg"
    predicted = CliRunner().invoke(
        main, ["predict", str(image), "--pipeline-root", str(workspace / "root"), "--json"]
    )
    assert predicted.exit_code == 0
    prediction = json.loads(predicted.stdout)
    model = tf.saved_model.load(result["pushed_model"])
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.read_bytes()]))
    example = tf.train.Example(
        features=tf.train.Features(feature={"image/encoded": feature})
    ).SerializeToString()
    for_evaluation = model.signatures["serve_examples"](examples=tf.constant([example]))
    assert list(prediction["probabilities"].values()) == pytest.approx(
        for_evaluation["probabilities"].numpy()[0].tolist(), abs=1e-5
    )
    served = model.signatures["serving_default"](image_bytes=tf.constant([image.read_bytes()]))
    assert [name.decode() for name in served["genres"].numpy()[0]] == result["evaluation"]["genres"]


def test_predict_answers_file_by_file(first: tuple[dict[str, Any], str], workspace: Path) -> None:
    """A file that cannot be read keeps no other from its answer."""
    image = workspace / "covers" / "images" / "00000.jpg"
    page, gone = workspace / "page.jpg", workspace / "gone.jpg"
    page.write_text("<html></html>")
    turned, webp = workspace / "turned.png", workspace / "cover.webp"
    with Image.open(image) as opened:
        opened.save(webp, lossless=True)
        exif = Image.Exif()
        exif[0x0112] = 6
        opened.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    files = [page, image, gone, webp, turned]
    command = ["predict", *map(str, files), "--pipeline-root", str(workspace / "root")]
    outcome = CliRunner().invoke(main, command)
    assert outcome.exit_code == 3
    assert f"{page}: Expected an image. Received: 13 bytes" in outcome.output
    assert f"{gone}: Expected a file." in outcome.output
    assert f"{image}: " in outcome.output
    assert "2 of 5 that cannot" in outcome.output
    as_json = CliRunner().invoke(main, [*command, "--json"])
    assert as_json.exit_code == 3
    answers = [json.loads(line) for line in as_json.stdout.splitlines() if line.startswith("{")]
    assert [answer["image"] for answer in answers] == list(map(str, files))
    assert [answer.get("reason") for answer in answers] == [
        "not_an_image", None, "missing_file", None, None
    ]  # fmt: skip
    plain, from_webp, from_turned = (answers[at]["probabilities"] for at in (1, 3, 4))
    # The same picture; but a large JPEG is reduced while it is decoded, in another way than a PNG.
    assert from_webp == pytest.approx(from_turned, abs=1e-6)
    assert from_webp == pytest.approx(plain, abs=0.03)


def test_running_again_runs_nothing_and_gives_the_same_verdict(
    first: tuple[dict[str, Any], str], run: Run, workspace: Path
) -> None:
    again, _ = run()
    assert again["stages"] == dict.fromkeys(STAGES, "cached")
    assert again["evaluation"] == first[0]["evaluation"]
    assert again["pushed_model"] == first[0]["pushed_model"]
    assert len(list((workspace / "root" / "tiny" / "serving").iterdir())) == 1


@contextlib.contextmanager
def _loading_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Notes each SavedModel that is loaded, by whichever library, as the node that wrote it."""
    from tensorflow.python.saved_model import load, loader_impl

    loaded: list[str] = []

    def counting(function: Callable[..., Any], place: int) -> Callable[..., Any]:
        def count(*arguments: Any, **options: Any) -> Any:
            loaded.append(Path(arguments[place]).parts[-4])
            return function(*arguments, **options)

        return count

    with monkeypatch.context() as patch:
        patch.setattr(load, "load_partial", counting(load.load_partial, 0))
        session_loader = loader_impl.SavedModelLoader
        patch.setattr(session_loader, "__init__", counting(session_loader.__init__, 1))
        yield loaded


def test_training_options_run_again_from_trainer_on_and_a_refusal_says_why(
    first: tuple[dict[str, Any], str], run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _loading_counted(monkeypatch) as loaded:
        result, seen = run(
            "--set", "trainer.seed=7", "--set", "evaluation.gate.per_genre.roc_auc.at_least=0.999"
        )
    assert sorted(loaded) == ["BaselineModel", "Trainer"], "one pass of each model, by one node"
    assert result["outcome"] == "not_blessed"
    assert result["exit_code"] == 4
    states = [result["stages"][stage] for stage in STAGES]
    assert states == ["cached"] * 5 + ["done"] * 7
    assert result["evaluation"]["baseline"] is not None
    assert result["pushed_model"] is None
    assert any("rock: roc_auc 0." in r and "needed at least 0.999" in r for r in result["reasons"])
    assert "NOT PUSHED" in seen
    report = _read_report(result)
    assert report["serving_check"]["state"] == "not checked"
    verdict = report["verdict"]
    assert [failure["sentence"] for failure in verdict["failures"]] == result["reasons"]
    assert verdict["compared_with"] == Path(first[0]["pushed_model"]).name

    root = ["--pipeline-root", str(workspace / "root")]
    latest = CliRunner().invoke(main, ["report", *root])
    assert latest.output.strip() == result["report"]
    named = CliRunner().invoke(main, ["report", first[0]["run_id"], *root])
    assert named.output.strip() == first[0]["report"]
    both = ["report", "--compare", first[0]["run_id"], result["run_id"], *root]
    compared = CliRunner().invoke(main, both)
    assert compared.exit_code == 0
    assert "not blessed" in compared.output
    assert "rock: roc_auc" in compared.output
    unknown = CliRunner().invoke(main, ["report", "1999", *root])
    assert unknown.exit_code == 2
    assert result["run_id"] in unknown.output


def test_a_model_that_is_blessed_but_cannot_be_served_is_not_pushed(
    first: tuple[dict[str, Any], str], run: Run, workspace: Path
) -> None:
    serving = workspace / "root" / "tiny" / "serving"
    before = sorted(serving.iterdir())
    both = ("--set", "infra_validator.loaders=[session, python]")
    result, seen = run(*both, "--set", "infra_validator.max_latency_ms=0.0001")
    assert (result["outcome"], result["exit_code"]) == ("not_blessed", 4)
    assert result["pushed_model"] is None
    assert sorted(serving.iterdir()) == before
    assert result["stages"]["Evaluator"] == "cached"
    assert result["stages"]["InfraValidator"] == result["stages"]["Pusher"] == "done"
    assert len(result["reasons"]) == 2  # one of each loader
    assert result["decision"]["gate"] == "InfraValidator"
    assert all(reason in seen for reason in result["reasons"])
    assert "session loader: latency, 95th percentile: expected at most 0.0001 ms" in seen
    assert "The limits are in infra_validator of the configuration." in seen
    report = _read_report(result)
    assert [each["what"] for each in report["verdict"]["problems"]] == result["reasons"]
    assert "the serving check (InfraValidator)" in report["verdict"]["summary"]
    assert report["serving_check"]["state"] == "refused"
    assert report["evaluation"]["blessed"] and report["verdict"]["failures"] == []


def test_a_changed_cover_is_ingested_again(
    first: tuple[dict[str, Any], str], run: Run, workspace: Path, write_cover: Callable[..., Path]
) -> None:
    data = _copy(workspace, "changed")
    run(data=data)
    write_cover(data / "images" / "00007.jpg", 7, side=300)
    result, _ = run(data=data)
    assert result["stages"]["LabelSchemaGen"] == "cached"
    assert result["stages"]["CoverExampleGen"] == "done"


def test_unknown_genres_stop_the_run_before_training(run: Run, workspace: Path) -> None:
    data = _copy(workspace, "polka")
    lines = (data / "labels.csv").read_text().splitlines()
    lines[10::10] = [f"{line}|polka" for line in lines[10::10]]
    (data / "labels.csv").write_text("\n".join(lines) + "\n")
    result, seen = run(data=data)
    assert result["exit_code"] == 3
    assert result["stages"]["DataGate"] == "failed"
    assert result["stages"]["Trainer"] == "not run"
    assert "Received: 20 of 200 (10.0%): unknown_genre 20" in seen
    report = _read_report(result)
    problem = report["verdict"]["problems"][0]
    assert "unknown_genre 20" in problem["what"]
    assert "quarantine.jsonl" in problem["remedy"]
    assert report["data"]["quarantine"]["unknown_genre"]["rows"] == 20
    assert report["evaluation"] is None


def test_data_without_a_single_usable_row_stop_at_the_gate(run: Run, workspace: Path) -> None:
    data = workspace / "covers" / "polka.csv"
    data.write_text("image,genres\nimages/00000.jpg,polka\nimages/00001.jpg,polka\n")
    result, seen = run(data=data)
    data.unlink()
    assert result["exit_code"] == 3
    assert result["ingest"]["rows_quarantined"] == result["ingest"]["rows_given"] == 2
    assert "Received: 2 of 2 (100.0%): unknown_genre 2" in seen


def test_a_truncated_and_an_empty_cover_are_set_aside(run: Run, workspace: Path) -> None:
    data = _copy(workspace, "broken")
    cover = data / "images" / "00003.jpg"
    cover.write_bytes(cover.read_bytes()[:4000])
    (data / "images" / "00004.jpg").write_bytes(b"")
    result, seen = run(data=data)
    assert result["outcome"] == "pushed"
    assert result["ingest"]["quarantined_by_reason"] == {"undecodable_image": 1, "empty_file": 1}
    assert "198 ingested + 2 quarantined" in seen


def test_an_anomaly_keeps_the_trainer_from_running(
    run: Run, workspace: Path, schema_path: Path
) -> None:
    strict = workspace / "strict.pbtxt"
    strict.write_text(
        schema_path.read_text().replace(
            'domain: "genre"\n  presence { min_fraction: 1.0 min_count: 1 }\n'
            "  value_count { min: 1 }",
            'domain: "genre"\n  presence { min_fraction: 1.0 min_count: 1 }\n'
            "  value_count { min: 1 max: 1 }",
        )
    )
    assert strict.read_text() != schema_path.read_text()
    result, seen = run("--set", f"schema={strict}")
    assert result["exit_code"] == 3
    assert result["stages"]["ExampleValidator"] == "done"
    assert result["stages"]["DataGate"] == "failed"
    assert {result["stages"][stage] for stage in STAGES[5:]} == {"not run"}
    assert "feature 'genres', split 'train'" in seen
    assert "in the schema" in seen


def test_runs_lists_what_happened(first: tuple[dict[str, Any], str], workspace: Path) -> None:
    outcome = CliRunner().invoke(main, ["runs", "--pipeline-root", str(workspace / "root")])
    assert outcome.exit_code == 0
    assert "pushed" in outcome.output
    assert "data stopped" in outcome.output


def test_diagnose_examines_a_run_and_a_model(
    first: tuple[dict[str, Any], str], workspace: Path
) -> None:
    result, _ = first

    def diagnose(*arguments: str) -> dict[str, Any]:
        outcome = CliRunner().invoke(main, ["diagnose", "--json", *arguments])
        assert outcome.exit_code == 0
        return json.loads(outcome.stdout)

    of_run = diagnose(
        result["run_id"], "--range-steps", "0", "--pipeline-root", str(workspace / "root")
    )
    assert of_run["examined"] == f"run {result['run_id']}, the eval split"
    of_model = diagnose("--model", result["pushed_model"], "--data", str(workspace / "covers"))
    assert of_model["examined"].startswith(result["pushed_model"])
    assert f"{result['ingest']['examples']} covers" in of_model["examined"]
    # Two epochs learn next to nothing: some genre is decided for all covers, or for none.
    for diagnosis in (of_run, of_model):
        assert "constant_genre" in {finding["code"] for finding in diagnosis["findings"]}


def test_the_tuners_best_values_are_trained_with(run: Run, workspace: Path) -> None:
    """At a rate of 1e-30 nothing is learnt, so that the other wins."""
    space = "{optimizer.Adam.learning_rate: [1.0e-30, 0.01]}"
    tuner = f"tuner: {{trials: 2, epochs: 1, objective: val_loss, search_space: {space}}}"
    (workspace / "tuned.yaml").write_text((workspace / "tiny.yaml").read_text() + tuner)
    result, seen = run("--config", str(workspace / "tuned.yaml"))
    assert result["stages"]["Tuner"] == "done"
    assert "Tuner" in seen
    trainings = (workspace / "root").glob(f"**/Trainer/model_run/*/{CONFIG_FILE}")
    latest = max(trainings, key=lambda file: file.stat().st_mtime)
    assert json.loads(latest.read_text())["optimizer"]["Adam"]["learning_rate"] == 0.01
    tuning = json.loads(Path(result["report"]).with_suffix(".json").read_text())["tuning"]
    rates = [trial["options"]["optimizer.Adam.learning_rate"] for trial in tuning["trials"]]
    assert rates == [0.01, 1e-30]
    assert tuning["trials"][0]["objective"] < tuning["trials"][1]["objective"]


def test_a_run_is_logged_to_mlflow_and_a_cached_one_is_not_logged_again(
    first: tuple[dict[str, Any], str], run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result, seen = run("--set", "mlflow={}")
    assert result["outcome"] == "pushed"
    assert f"Logged to MLflow at {workspace}/root/mlruns: experiment tiny, run " in seen
    _, seen = run("--set", "mlflow={}")
    assert "Was logged before to MLflow" in seen
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    store = MlflowClient((workspace / "root/mlruns").as_uri())
    [logged] = store.search_runs([store.get_experiment_by_name("tiny").experiment_id])
    assert logged.data.tags["covers.run_id"] == result["run_id"]
    assert {file.path for file in store.list_artifacts(logged.info.run_id, "model")} >= {
        "model/MLmodel", "model/code", "model/data"
    }  # fmt: skip
    result, seen = run("--set", f"mlflow.tracking_uri={workspace / 'covers' / 'labels.csv'}")
    assert result["outcome"] == "pushed"
    assert f"Log it later with: covers log-to-mlflow {result['run_id']}" in seen


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--config", "{root}/tiny.yaml", "--data", "{root}/covers"),
        ("predict", "{root}/covers/images/00000.jpg"),
        ("runs",),
        ("report",),
        ("diagnose",),
        ("prune", "--keep", "100"),
        ("init", "{root}/covers", "--output", "{root}/proposed.yaml"),
        ("compile", "--config", "{root}/tiny.yaml", "--image", "x", "-o", "{root}/p.yaml"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_person_sees_no_warning_of_a_library(
    first: tuple[dict[str, Any], str], workspace: Path, arguments: tuple[str, ...]
) -> None:
    command = [
        sys.executable,
        "-m",
        "pipeline",
        *(part.format(root=workspace) for part in arguments),
    ]
    if arguments[0] not in ("init", "compile"):
        command += ["--pipeline-root", str(workspace / "root")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "arning" not in done.stdout.replace("learning", "")


def test_a_pushed_version_that_was_deleted_is_pushed_again(
    first: tuple[dict[str, Any], str], run: Run
) -> None:
    """Other tests have pushed other models since."""
    back, _ = run()
    assert back["stages"]["Trainer"] == "cached"
    shutil.rmtree(back["pushed_model"])
    again, seen = run()
    assert again["outcome"] == "pushed"
    assert again["stages"]["Evaluator"] == "cached"
    assert again["stages"]["Pusher"] == "done"
    assert again["pushed_model"] != back["pushed_model"]
    assert (Path(again["pushed_model"]) / "saved_model.pb").is_file()
    assert f"PUSHED to {again['pushed_model']}" in seen
