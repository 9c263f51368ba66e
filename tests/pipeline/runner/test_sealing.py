"""Kept results: real runs of a pipeline whose nodes write in no time."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.support import progress
from pipeline.runner.database import metadata_file
from pipeline.runner.history import RunHistory
from pipeline.runner.launching import compile_for_run, launch
from pipeline.runner.metadata import MetadataLocation

SPLIT = "Split-train"


@component
def Writer(examples: OutputArtifact[standard_artifacts.Examples], text: Parameter[str]) -> None:
    for name in "ab":
        Path(examples.uri, SPLIT).mkdir(exist_ok=True)
        Path(examples.uri, SPLIT, name).write_text(f"{text} {name}")


@component
def Reader(
    examples: InputArtifact[standard_artifacts.Examples],
    model: OutputArtifact[standard_artifacts.Model],
) -> None:
    files = sorted(Path(examples.uri, SPLIT).iterdir())
    Path(model.uri, "read").write_text(" ".join(file.read_text() for file in files))


Run = Callable[[str], Path]
"""Runs the pipeline on a text and returns the folder of Writer's artifact."""


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def run(tmp_path: Path, warnings: list[str]) -> Run:
    numbers = iter(range(100))
    location = MetadataLocation(tmp_path)

    def run(text: str) -> Path:
        writer = Writer(text=text)
        reader = Reader(examples=writer.outputs["examples"])
        pipeline = Pipeline("texts", str(tmp_path / "texts"), components=[writer, reader])
        pipeline.enable_cache = True
        run_id = f"run-{next(numbers)}"
        ir = compile_for_run(pipeline, location, run_id)
        with progress.listening(lambda *_: None, lambda _, sentence: warnings.append(sentence)):
            launch(ir, location)
        history = RunHistory(location)
        read = Path(history.outputs(run_id, "Reader")["model"].uri, "read").read_text()
        assert read == f"{text} a {text} b"
        return Path(history.outputs(run_id, "Writer")["examples"].uri)

    return run


def _flip(folder: Path) -> None:
    file = folder / SPLIT / "a"
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


def _unreadable(folder: Path) -> None:
    (folder / SPLIT / "a").unlink()
    (folder / SPLIT / "a").symlink_to("gone")


DAMAGES = {
    "a flipped bit": _flip,
    "a cut file": lambda folder: (folder / SPLIT / "a").write_text("tex"),
    "an empty file": lambda folder: (folder / SPLIT / "a").write_text(""),
    "a deleted file": lambda folder: (folder / SPLIT / "b").unlink(),
    "a file more": lambda folder: (folder / SPLIT / "c").write_text("text c"),
    "a deleted folder": lambda folder: shutil.rmtree(folder / SPLIT),
    "a link to nothing": _unreadable,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_made_again_and_said(
    run: Run, warnings: list[str], damage: str
) -> None:
    first = run("text")
    assert run("text") == first
    assert warnings == []
    DAMAGES[damage](first)
    second = run("text")
    assert second != first
    (warning,) = warnings
    assert str(first) in warning
    assert "damaged" in warning
    assert run("text") == second
    assert len(warnings) == 1


def test_a_deleted_result_is_made_again(run: Run) -> None:
    first = run("text")
    shutil.rmtree(first)
    second = run("text")
    assert second != first
    assert run("text") == second


@pytest.mark.parametrize("how", ["deleted", "an older copy"])
def test_a_new_database_never_mixes_generations(
    run: Run, warnings: list[str], tmp_path: Path, how: str
) -> None:
    copy = tmp_path / "copy"
    run("zero")
    shutil.copyfile(metadata_file(tmp_path), copy)
    old = run("old")
    (old / SPLIT / "c").write_text("more shards")
    if how == "deleted":
        metadata_file(tmp_path).unlink()
        run("zero")
    else:
        shutil.copyfile(copy, metadata_file(tmp_path))
    warnings.clear()
    new = run("new")  # asserts what was read
    assert new == old
    assert "does not know" in warnings[0]
    (kept,) = (tmp_path / "texts" / "earlier").glob(f"*/Writer/examples/{old.name}")
    assert (kept / SPLIT / "c").read_text() == "more shards"
