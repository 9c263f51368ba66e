from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import pytest
from click.testing import CliRunner
from pyarrow import parquet

from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import IMAGE_BYTES, PROBABILITIES, SERVING_SIGNATURE
from components.support.errors import ConfigError, DeploymentError
from pipeline.cli import main
from pipeline.commands.batch_prediction import answers, job
from pipeline.commands.batch_prediction.job import predict_to_file
from tests.pipeline.tiny_models import export_tiny_model

Write = Callable[..., Path]
GENRES = ("electronic", "jazz", "pop")
GOOD = 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_tiny_model(tmp_path_factory.mktemp("model") / "model", GENRES)


@pytest.fixture
def covers(tmp_path: Path, write_cover: Write) -> Path:
    for number in range(GOOD):
        write_cover(tmp_path / "covers" / f"{number:03d}.jpg", number)
    (tmp_path / "covers" / "007a.jpg").write_text("<html></html>")
    return tmp_path / "covers"


def _predict(covers: Path, output: Path, model: Path, **options: object) -> job.Account:
    return predict_to_file(
        [str(covers)], output, model=model, part_size=8, console=io.StringIO(), **options
    )  # type: ignore[arg-type]


def test_all_formats_say_what_the_served_model_says(
    covers: Path, model: Path, tmp_path: Path
) -> None:
    for suffix in (".csv", ".jsonl", ".parquet"):
        account = _predict(covers, tmp_path / f"answers{suffix}", model)
        assert (account.covers, account.taken) == (GOOD + 1, 0)
        assert account.unreadable == {"not_an_image": 1}
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    table = parquet.read_table(tmp_path / "answers.parquet").to_pylist()
    images = sorted(map(str, covers.iterdir()))
    assert [row["image"] for row in rows] == images
    assert [line["image"] for line in lines] == [row["image"] for row in table] == images
    bad = images.index(f"{covers}/007a.jpg")
    assert rows[bad]["reason"] == lines[bad]["reason"] == table[bad]["reason"] == "not_an_image"
    assert rows[bad]["probability_pop"] == ""
    assert table[bad]["probability_pop"] is None
    served = load_saved_model(model, SERVING_SIGNATURE)
    good = [place for place in range(len(images)) if place != bad]
    found = served.ask(**{IMAGE_BYTES: [Path(images[place]).read_bytes() for place in good]})
    for place, expected in zip(good, found[PROBABILITIES], strict=True):
        said = lines[place]["probabilities"]
        assert list(said.values()) == pytest.approx(expected.tolist(), abs=1e-6)
        for genre in GENRES:
            assert float(rows[place][f"probability_{genre}"]) == said[genre]
            assert table[place][f"probability_{genre}"] == pytest.approx(said[genre], abs=1e-7)
        assert rows[place]["genres"].split("|") == lines[place]["genres"]
        assert table[place]["genres"] == lines[place]["genres"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_done_is_not_done_again(
    covers: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _predict(covers, tmp_path / "undisturbed.csv", model)
    answered: list[Sequence[int]] = []
    really_answer = answers.answer

    def stop_at_the_third(numbers: Sequence[int], **options: Any) -> None:
        answered.append(numbers)
        if len(answered) == 3:
            raise KeyboardInterrupt
        really_answer(numbers, **options)

    monkeypatch.setattr(answers, "answer", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        _predict(covers, tmp_path / "a.csv", model)
    assert not (tmp_path / "a.csv").exists()
    assert _predict(covers, tmp_path / "a.csv", model).taken == 16
    assert answered == [[0], [1], [2], [2]]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "undisturbed.csv").read_bytes()


def test_parts_for_other_covers_or_another_model_are_done_again(
    covers: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_cover: Write
) -> None:
    output = tmp_path / "a.jsonl"
    with monkeypatch.context() as patched:
        patched.setattr(job, "write_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            _predict(covers, output, model)
    write_cover(covers / "zzz.jpg", 100)
    account = _predict(covers, output, model)
    assert (account.covers, account.taken) == (GOOD + 2, 16)
    assert len(output.read_text().splitlines()) == GOOD + 2


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_output_that_was_being_written_is_written_again(
    covers: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    output = tmp_path / f"a{suffix}"
    with monkeypatch.context() as patched:
        patched.setattr(job, "_publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            _predict(covers, output, model)
    assert _predict(covers, output, model).taken == GOOD + 1
    assert output.stat().st_size > 0
    assert not (tmp_path / f".a{suffix}.parts").exists()


def test_two_runs_for_one_file_do_not_mix(
    covers: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second(*args: object, **options: object) -> None:
        _predict(covers, tmp_path / "a.csv", model)

    monkeypatch.setattr(answers, "answer", second)
    with pytest.raises(ConfigError, match="another `covers predict`"):
        _predict(covers, tmp_path / "a.csv", model)


def test_a_failing_store_ends_the_job_with_its_own_message(
    covers: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise DeploymentError("Expected access to s3://covers. Received: nothing.")

    monkeypatch.setattr("pipeline.commands.batch_prediction.covers._read_file", fail)
    with pytest.raises(DeploymentError, match=r"s3://covers.*run the same command again"):
        _predict(covers, tmp_path / "a.csv", model)
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("name", ["a.txt", "a", "gone/a.csv"])
def test_an_output_that_cannot_be_is_refused(
    covers: Path, model: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match="--output"):
        _predict(covers, tmp_path / name, model)


def test_the_command_says_what_became_of_the_covers(
    covers: Path, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "a.csv"
    command = ["predict", str(covers), "--model", str(model), "--output", str(output)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 3
    assert "21 covers given, 20 answered, 1 unreadable (not_an_image 1)" in result.output
    assert "Received: 1 of 21 that cannot" in result.output
    assert output.is_file()
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    command[1] = str(nothing)
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "no cover in" in result.output
    assert not list(tmp_path.glob(".*"))  # no folder for parts of which there are none


@pytest.mark.slow
def test_killed_twice_it_gives_the_same_file(
    model: Path, tmp_path: Path, write_cover: Write
) -> None:
    for number in range(200):
        write_cover(tmp_path / "covers" / f"{number:04d}.jpg", number % 10)
    script = (
        "import sys, pathlib; from pipeline.commands.batch_prediction.job import predict_to_file;"
        "predict_to_file([sys.argv[1]], pathlib.Path(sys.argv[2]), model=pathlib.Path(sys.argv[3]),"
        " part_size=16, console=sys.stdout)"
    )

    def start(output: str) -> subprocess.Popen[bytes]:
        arguments = [str(tmp_path / "covers"), str(tmp_path / output), str(model)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        return subprocess.Popen([sys.executable, "-c", script, *arguments], env=environment)

    parts = tmp_path / ".killed.parquet.parts"
    for least in (2, 7):
        process = start("killed.parquet")
        deadline = time.monotonic() + 120
        while len(list(parts.glob("*.jsonl"))) < least:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for output in ("killed.parquet", "undisturbed.parquet"):
        assert start(output).wait(120) == 0
    assert (tmp_path / "killed.parquet").read_bytes() == (
        tmp_path / "undisturbed.parquet"
    ).read_bytes()
    assert not parts.exists()


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_lock_whose_folder_another_run_has_just_removed_is_taken_again(
    covers: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_made_anew: bool
) -> None:
    lock, taken = fcntl.flock, []

    def take(file: TextIO, how: int) -> None:
        if not taken:
            shutil.rmtree(Path(file.name).parent)
            if is_made_anew:
                Path(file.name).parent.mkdir()
                Path(file.name).touch()
        taken.append(file.name)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", take)
    (tmp_path / ".a.csv.parts.left" / "images").mkdir(parents=True)
    _predict(covers, tmp_path / "a.csv", model)
    assert len(taken) == 2
    assert (tmp_path / "a.csv").is_file()
    assert not list(tmp_path.glob(".*"))
