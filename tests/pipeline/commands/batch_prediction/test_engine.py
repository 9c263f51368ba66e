"""Parts that an engine answers: what goes to its workers, and what comes back.

The engine is this process, which gets what a cluster would get; tests/flink has a real one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from components.support.compat import LOCAL_BEAM_ARGS
from components.support.errors import DeploymentError
from pipeline.cli import main
from pipeline.commands.batch_prediction import answers, beam_jobs
from pipeline.commands.batch_prediction.covers import _directory
from pipeline.commands.batch_prediction.job import Account, predict_to_file
from pipeline.engine.config import EngineConfig
from pipeline.runner.console import RunConsole
from tests.pipeline.tiny_models import export_tiny_model

Write = Callable[..., Path]
COVERS, IN_A_PART, PARTS = 21, 4, 6
ENGINE = EngineConfig.model_validate(
    {"name": "flink", "flink": {"job_server": "jobs:8099", "worker_pool": "localhost:50000"}}
)
ENDED = "Pipeline covers_1 failed in state FAILED: java.lang.RuntimeException: {}"

_really_answer = answers.answer


class Engine:
    """Runs jobs in this process.

    Attributes:
        jobs: the numbers of the parts of each job.
        around: what happens around a job; gets the job's number and what does it.
    """

    def __init__(self) -> None:
        self.jobs: list[list[int]] = []
        self.around: Callable[[int, Callable[[], None]], None] = lambda _, work: work()

    def answer(self, numbers: Sequence[int], **options: Any) -> None:
        assert options["beam_pipeline_args"] == ENGINE.beam_args()
        assert options["folder"].is_absolute() and options["model"].is_absolute()
        self.jobs.append(list(numbers))
        here = {**options, "beam_pipeline_args": LOCAL_BEAM_ARGS}
        self.around(len(self.jobs), lambda: _really_answer(numbers, **here))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_tiny_model(tmp_path_factory.mktemp("model") / "model", ("jazz", "pop"))


@pytest.fixture(scope="module")
def covers(tmp_path_factory: pytest.TempPathFactory, write_cover: Write) -> Path:
    folder = tmp_path_factory.mktemp("covers") / "covers"
    for number in range(COVERS - 1):
        write_cover(folder / f"{number:03d}.jpg", number)
    (folder / "007a.jpg").write_text("<html></html>")
    return folder


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Jobs of four parts, whose answers are looked at when the job has ended."""
    monkeypatch.setattr(beam_jobs, "_PARTS_FOR_A_SLOT", 4)
    monkeypatch.setattr(beam_jobs, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(beam_jobs._Looking, "_look_again_and_again", lambda _: None)
    monkeypatch.setattr("pipeline.commands.batch_prediction.job.check_reachable", lambda _: None)
    engine = Engine()
    monkeypatch.setattr(answers, "answer", engine.answer)
    return engine


def _predict(covers: Path, output: Path, model: Path, engine: EngineConfig = ENGINE) -> Account:
    return predict_to_file(
        [str(covers)],
        output,
        model=model,
        part_size=IN_A_PART,
        engine=engine,
        console=io.StringIO(),
    )


@pytest.fixture(scope="module")
def undisturbed(covers: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What one process says."""
    output = tmp_path_factory.mktemp("here") / "here.csv"
    _predict(covers, output, model, EngineConfig())
    return output.read_bytes()


def test_jobs_of_many_parts_leave_the_file_of_one_process(
    undisturbed: bytes,
    engine: Engine,
    covers: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[tuple[int, int]] = []
    monkeypatch.setattr(
        RunConsole, "stage_progressed", lambda _, __, done, total, ___: shown.append((done, total))
    )
    monkeypatch.chdir(covers.parent)
    output = tmp_path / "a.csv"
    account = _predict(covers, output, model)
    assert (account.covers, account.taken, account.unreadable) == (COVERS, 0, {"not_an_image": 1})
    assert engine.jobs == [[0, 1, 2, 3], [4, 5]]
    assert output.read_bytes() == undisturbed
    assert [done for done, _ in shown] == sorted({done for done, _ in shown})
    assert shown[-1] == (COVERS, COVERS)
    assert not (tmp_path / ".a.csv.parts").exists()


def test_covers_given_by_relative_paths_are_found_from_any_folder(
    engine: Engine, covers: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(_: int, work: Callable[[], None]) -> None:
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            work()

    engine.around = elsewhere
    monkeypatch.chdir(covers.parent)
    given = [covers.name, f"{covers.name}/000.jpg"]
    account = predict_to_file(
        given, Path("a.jsonl"), model=model, engine=ENGINE, console=io.StringIO()
    )
    assert account.unreadable == {"not_an_image": 1}
    first, *_, last = Path("a.jsonl").read_text().splitlines()
    assert first == last
    assert '"image": "covers/000.jpg"' in last
    Path("a.jsonl").unlink()


def test_parts_that_workers_did_for_a_killed_command_are_taken_over(
    undisturbed: bytes, engine: Engine, covers: Path, model: Path, tmp_path: Path
) -> None:
    def kill(job: int, work: Callable[[], None]) -> None:
        work()
        if job == 2:
            raise KeyboardInterrupt

    engine.around = kill
    output = tmp_path / "a.csv"
    with pytest.raises(KeyboardInterrupt):
        _predict(covers, output, model)
    parts = tmp_path / ".a.csv.parts"
    assert len(list(parts.glob("*.jsonl"))) == 4
    assert len(list(parts.glob("*.answered"))) == 2
    assert _predict(covers, output, model).taken == COVERS
    assert len(engine.jobs) == 2
    assert output.read_bytes() == undisturbed


def test_only_missing_parts_are_done_after_a_job_that_the_engine_ended(
    undisturbed: bytes, engine: Engine, covers: Path, model: Path, tmp_path: Path
) -> None:
    def end(job: int, work: Callable[[], None]) -> None:
        if job == 2:
            raise RuntimeError(ENDED.format("TaskManager lost"))
        work()

    engine.around = end
    output = tmp_path / "a.csv"
    with pytest.raises(DeploymentError, match=r"TaskManager lost.*what is done is kept"):
        _predict(covers, output, model)
    assert _predict(covers, output, model).taken == 4 * IN_A_PART
    assert engine.jobs == [[0, 1, 2, 3], [4, 5], [4, 5]]
    assert output.read_bytes() == undisturbed


def test_a_folder_that_no_worker_sees_is_named(
    engine: Engine, covers: Path, model: Path, tmp_path: Path
) -> None:
    file = tmp_path / ".a.csv.parts" / "0000000.asked"

    def end(_: int, work: Callable[[], None]) -> None:
        away = file.rename(tmp_path / "away")
        try:
            work()
        except Exception as error:
            raise RuntimeError(ENDED.format(error)) from error
        finally:
            away.rename(file)

    engine.around = end
    with pytest.raises(DeploymentError, match=f"no {file} there. Put the covers, the model and"):
        _predict(covers, tmp_path / "a.csv", model)


def test_workers_of_a_killed_command_do_nothing_more(
    engine: Engine, covers: Path, model: Path, tmp_path: Path
) -> None:
    def orphan(_: int, work: Callable[[], None]) -> None:
        [job] = (tmp_path / ".a.csv.parts").glob("*.job")
        job.unlink()
        work()

    engine.around = orphan
    with pytest.raises(DeploymentError, match="none for 4 parts"):
        _without_waiting(covers, tmp_path / "a.csv", model)
    assert not list((tmp_path / ".a.csv.parts").glob("*.answered"))


def _without_waiting(covers: Path, output: Path, model: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(beam_jobs, "_SECONDS_UNTIL_SEEN", 0.0)
        _predict(covers, output, model)


@pytest.mark.parametrize("unseen", ["covers", "model"])
def test_what_a_worker_does_not_see_is_named_and_is_no_answer(
    undisturbed: bytes, engine: Engine, covers: Path, model: Path, tmp_path: Path, unseen: str
) -> None:
    hidden = {"covers": covers, "model": model}[unseen]

    def hide(job: int, work: Callable[[], None]) -> None:
        if job > 1:
            return work()
        away = hidden.rename(hidden.with_name("away"))
        try:
            work()
        finally:
            away.rename(hidden)
            _directory.cache_clear()  # the worker's, which is another process

    engine.around = hide
    output = tmp_path / "a.csv"
    with pytest.raises(DeploymentError, match=rf"the same {unseen}.* {hidden}.*run the same comm"):
        _predict(covers, output, model)
    assert not list((tmp_path / ".a.csv.parts").glob("*.jsonl"))
    _predict(covers, output, model)
    assert output.read_bytes() == undisturbed


def test_a_file_that_is_missing_for_all_is_an_answer(
    engine: Engine, covers: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text(f"image\n{covers}/000.jpg\ngone.jpg\n")
    account = _predict(tmp_path / "list.csv", tmp_path / "a.csv", model)
    assert account.unreadable["missing_file"] == 1


def test_images_in_a_manifest_are_extracted_for_one_job_at_a_time(
    engine: Engine, covers: Path, model: Path, tmp_path: Path
) -> None:
    images = [{"bytes": file.read_bytes(), "path": None} for file in sorted(covers.iterdir())]
    parquet.write_table(pa.table({"image": images}), tmp_path / "images.parquet")
    extracted = tmp_path / ".a.csv.parts" / "images"
    found: list[int] = []

    def count(job: int, work: Callable[[], None]) -> None:
        found.append(len(list(extracted.iterdir())))
        if job == 2:
            raise KeyboardInterrupt
        work()

    engine.around = count
    with pytest.raises(KeyboardInterrupt):
        _predict(tmp_path / "images.parquet", tmp_path / "a.csv", model)
    account = _predict(tmp_path / "images.parquet", tmp_path / "a.csv", model)
    assert (account.covers, account.taken) == (COVERS, 16)
    assert account.unreadable == {"not_an_image": 1}
    assert found == [16, 5, 5]


def test_extracted_images_that_were_deleted_are_asked_about_again(
    engine: Engine, covers: Path, model: Path, tmp_path: Path
) -> None:
    images = [{"bytes": file.read_bytes(), "path": None} for file in sorted(covers.iterdir())]
    parquet.write_table(pa.table({"image": images}), tmp_path / "images.parquet")

    def outlive_the_command(job: int, work: Callable[[], None]) -> None:
        if job == 1:
            for image in (tmp_path / ".a.csv.parts" / "images").iterdir():
                image.unlink()
        work()
        if job == 1:
            raise KeyboardInterrupt

    engine.around = outlive_the_command
    with pytest.raises(KeyboardInterrupt):
        _predict(tmp_path / "images.parquet", tmp_path / "a.csv", model)
    account = _predict(tmp_path / "images.parquet", tmp_path / "a.csv", model)
    assert account.unreadable == {"not_an_image": 1}


def test_answers_are_accepted_while_the_job_runs_and_not_given_again_if_it_begins_again(
    engine: Engine, covers: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("pipeline.commands.batch_prediction.job.check_reachable", lambda _: None)
    monkeypatch.setattr(beam_jobs, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(answers, "answer", engine.answer)
    done = tmp_path / ".a.csv.parts"

    def begin_again(_: int, work: Callable[[], None]) -> None:
        work()
        while len(list(done.glob("*.jsonl"))) < PARTS:
            assert list(done.glob("*.job"))
        work()
        assert not list(done.glob("*.answered"))

    engine.around = begin_again
    assert _predict(covers, tmp_path / "a.csv", model).covers == COVERS


def test_the_batches_of_a_part_do_not_depend_on_what_else_a_worker_does(
    engine: Engine, covers: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_read = answers._Read.process
    seen: dict[int, list[int]] = {}

    def read(self: Any, number: int) -> Iterator[Any]:
        for batch in really_read(self, number):
            seen.setdefault(batch.key.part, []).append(len(batch.examples))
            yield batch

    monkeypatch.setattr(answers._Read, "process", read)
    predict_to_file(
        [str(covers)], tmp_path / "a.csv", model=model, part_size=19, engine=ENGINE,
        console=io.StringIO(),
    )  # fmt: skip
    assert engine.jobs == [[0, 1]]
    size = answers._BATCH_SIZE
    assert seen == {0: [size] * (15 // size) + [15 % size] * (15 % size > 0) + [3], 1: [2]}


def test_an_engine_needs_an_output_and_somebody_who_listens(
    covers: Path, model: Path, tmp_path: Path
) -> None:
    setting = "engine={name: flink, flink: {job_server: 'localhost:1', worker_pool: 'a:1'}}"
    command = ["predict", str(covers), "--model", str(model), "--set", setting]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "Expected --output FILE with the engine 'flink'" in result.output
    result = CliRunner().invoke(main, [*command, "--output", str(tmp_path / "a.csv")])
    assert result.exit_code == 1
    assert "Expected the engine 'flink' at localhost:1" in result.output
