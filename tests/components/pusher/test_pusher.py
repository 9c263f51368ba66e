"""The cache of Pusher: real runs of a pipeline whose other node makes a model in no time."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.contracts.artifacts import Quarantine
from components.contracts.evaluation_record import Evaluation, write_evaluation
from components.contracts.model_card import MODEL_CARD_FILE
from components.contracts.pushed_models import pushed_versions
from components.contracts.quarantine import IngestSummary, write_summary
from components.contracts.signatures import ModelDescription, write_model_description
from components.pusher.component import Pusher, PusherExecutor
from components.support.errors import ModelNotBlessed
from pipeline.commands.models.rollback import roll_back
from pipeline.runner.history import RunHistory
from pipeline.runner.launching import compile_for_run, launch
from pipeline.runner.metadata import MetadataLocation


@component
def Candidate(
    model: OutputArtifact[standard_artifacts.Model],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    evaluation: OutputArtifact[standard_artifacts.ModelEvaluation],
    quarantine: OutputArtifact[Quarantine],
    recipe: Parameter[str],
    blessed: Parameter[int],
    servable: Parameter[int],
) -> None:
    _write_candidate(model.uri, evaluation.uri, quarantine.uri, recipe)
    blessing.set_int_custom_property("blessed", blessed)
    infra_blessing.set_int_custom_property("blessed", servable)


def _write_candidate(model: str, evaluation: str, quarantine: str, recipe: str) -> None:
    folder = Path(path_utils.serving_model_dir(model))
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text(recipe)
    write_model_description(folder, ModelDescription(("rock",), (0.5,), 48, recipe, {}))
    write_evaluation(evaluation, Evaluation({}, {}, {}, ("rock",), None, True, (), (), None))
    write_summary(Path(quarantine), IngestSummary("covers", 1, 1, 0, {}, 1, {}, 0, 0, {}))


Run = Callable[..., tuple[str, str | None]]


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    return tmp_path / "serving"


@pytest.fixture
def run(tmp_path: Path, serving: Path) -> Iterator[Run]:
    """Returns a function that runs the pipeline: the state of Pusher, and where the model is."""
    from absl import logging as absl_logging

    from pipeline.runner.stages import StageWatcher

    states: dict[str, str] = {}
    watcher = StageWatcher(lambda node: None, states.__setitem__)
    logger = absl_logging.get_absl_logger()
    level = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.INFO)
    logger.addHandler(watcher)
    numbers = iter(range(100))

    location = MetadataLocation(tmp_path)

    def start(
        recipe: str, blessed: int = 1, servable: int = 1, code_fingerprint: str = ""
    ) -> tuple[str, str | None]:
        candidate = Candidate(recipe=recipe, blessed=blessed, servable=servable)
        pusher = Pusher(
            model=candidate.outputs["model"],
            model_blessing=candidate.outputs["blessing"],
            infra_blessing=candidate.outputs["infra_blessing"],
            evaluation=candidate.outputs["evaluation"],
            quarantine=candidate.outputs["quarantine"],
            push_destination=str(serving),
            code_fingerprint=code_fingerprint,
        )
        pipeline = Pipeline(
            pipeline_name="push",
            pipeline_root=str(tmp_path / "root"),
            components=[candidate, pusher],
            enable_cache=True,
        )
        run_id = f"run-{next(numbers)}"
        launch(compile_for_run(pipeline, location, run_id), location)
        pushed = RunHistory(location).outputs(run_id, "Pusher")["pushed_model"].custom_properties
        folder = pushed["pushed_destination"].string_value if pushed["pushed"].int_value else None
        return states["Pusher"], folder

    yield start
    logger.removeHandler(watcher)
    absl_logging.set_verbosity(level)


def _versions(serving: Path) -> list[str]:
    return [version.location for version in pushed_versions(serving)]


def test_what_is_pushed_is_there_and_is_not_pushed_again(run: Run, serving: Path) -> None:
    state, location = run("a")
    assert state == "done"
    assert _versions(serving) == [location]
    assert (Path(location) / MODEL_CARD_FILE).is_file()
    assert run("a") == ("cached", location)
    assert run("a") == ("cached", location)
    assert [path.name for path in serving.iterdir()] == [Path(location).name]


@pytest.mark.parametrize("what", ["the version", "the destination", "the model in the version"])
def test_what_was_deleted_is_pushed_again(run: Run, serving: Path, what: str) -> None:
    _, first = run("a")
    if what == "the model in the version":
        (Path(first) / "saved_model.pb").unlink()
    else:
        shutil.rmtree(first if what == "the version" else serving)
    state, second = run("a")
    assert state == "done"
    assert second != first
    assert _versions(serving) == [second]
    assert run("a") == ("cached", second)


def test_the_model_of_the_run_is_the_newest_version_after_it(run: Run, serving: Path) -> None:
    """As A, B, A: the last run goes back to A, whatever its cache says."""
    locations = [run(recipe)[1] for recipe in ("a", "b", "a")]
    assert _versions(serving) == locations[::-1]
    assert len(set(locations)) == 3
    assert run("a") == ("cached", locations[2])


def test_a_version_below_the_newest_is_not_missed(run: Run, serving: Path) -> None:
    (_, first), (_, second) = run("a"), run("b")
    shutil.rmtree(first)
    assert run("b") == ("cached", second)


@pytest.mark.parametrize("refused", [{"blessed": 0}, {"servable": 0}])
def test_a_refused_model_is_not_pushed_and_a_blessing_is_noticed(
    run: Run, serving: Path, refused: dict[str, int]
) -> None:
    assert run("a", **refused) == ("done", None)
    assert run("a", **refused) == ("cached", None)
    assert not serving.exists()
    state, location = run("a")
    assert state == "done"
    assert _versions(serving) == [location]


def test_changed_code_runs_but_pushes_nothing_twice(run: Run, serving: Path) -> None:
    _, location = run("a", code_fingerprint="1")
    assert run("a", code_fingerprint="2") == ("done", location)
    assert _versions(serving) == [location]


def test_a_model_that_was_taken_back_is_not_pushed_until_it_is_restored(
    run: Run, serving: Path
) -> None:
    _, first = run("a")
    _, second = run("b")
    restored = roll_back(str(serving), None, by="anna", reason="rock got worse")
    reason = rf"version {Path(second).name} of this recipe was withdrawn .* by anna: rock got worse"
    for _ in range(2):
        with pytest.raises(ModelNotBlessed, match=reason):
            run("b")
    assert run("b", blessed=0)[1] is None
    third = f"{serving}/{restored.version}"
    assert _versions(serving) == [third, second, first]
    assert run("a") == ("done", third)
    roll_back(str(serving), int(Path(second).name), by="anna", reason="it was the data")
    assert run("b")[1] == _versions(serving)[0]
    assert len(_versions(serving)) == 4


def test_without_a_driver_the_executor_finds_the_place_itself(
    tmp_path: Path, serving: Path
) -> None:
    def push(recipe: str) -> str:
        types = {
            "model": standard_artifacts.Model,
            "model_blessing": standard_artifacts.ModelBlessing,
            "infra_blessing": standard_artifacts.InfraBlessing,
            "evaluation": standard_artifacts.ModelEvaluation,
            "quarantine": Quarantine,
            "pushed_model": standard_artifacts.PushedModel,
        }
        artifacts: dict[str, list[Any]] = {}
        for key, artifact_type in types.items():
            artifact = artifact_type()
            artifact.uri = str(tmp_path / recipe / key)
            Path(artifact.uri).mkdir(parents=True, exist_ok=True)
            artifacts[key] = [artifact]
        model = Path(artifacts["model"][0].uri)
        if not any(model.iterdir()):
            _write_candidate(
                str(model),
                artifacts["evaluation"][0].uri,
                artifacts["quarantine"][0].uri,
                recipe,
            )
        for key in ("model_blessing", "infra_blessing"):
            artifacts[key][0].set_int_custom_property("blessed", 1)
        outputs = {"pushed_model": artifacts.pop("pushed_model")}
        PusherExecutor().Do(artifacts, outputs, {"push_destination": str(serving)})
        return str(outputs["pushed_model"][0].get_string_custom_property("pushed_destination"))

    first, again, other = push("a"), push("a"), push("b")
    assert first == again != other
    assert _versions(serving) == [other, first]
    roll_back(str(serving), None, by="anna", reason="worse")
    with pytest.raises(ModelNotBlessed, match="by anna: worse"):
        push("b")
