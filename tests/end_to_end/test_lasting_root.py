"""A pipeline root over time: runs that are killed, older runs that are pruned, and a move."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ml_metadata.proto.metadata_store_pb2 import Execution

from pipeline.cli import main
from pipeline.runner.lock import holder
from pipeline.runner.metadata import MetadataLocation, open_store
from tests.end_to_end.tiny import CONFIG, STAGES

pytestmark = pytest.mark.slow

UP_TO_TRAINING = STAGES[: STAGES.index("Trainer")]
FROM_TRAINING_ON = STAGES[len(UP_TO_TRAINING) :]
NOT_GIVEN = "BaselineModel/model/7"  # TFX makes the folder; the first run has no baseline


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, schema_path: Path) -> Path:
    """Returns a folder with a configuration that generates its sample in the root."""
    folder = tmp_path_factory.mktemp("lasting")
    sample = "sample: {images: 200, seed: 3}\n"
    (folder / "tiny.yaml").write_text(CONFIG.format(schema=schema_path) + sample)
    return folder


def _covers(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout or result.output


def _run(place: Path, *arguments: str, root: str = "root") -> dict[str, Any]:
    code, said = _covers(*_command(place, *arguments, root=root))
    result: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    assert code == result["exit_code"]
    return result


def _command(place: Path, *arguments: str, root: str = "root") -> list[str]:
    options = ["--config", str(place / "tiny.yaml"), "--pipeline-root", str(place / root)]
    return ["run", "--json", *options, *arguments]


def _runs(root: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(_covers("runs", "--json", "--pipeline-root", root)[1])
    return listed


def _artifacts(root: Path) -> Iterator[str]:
    """Yields node/key/execution of each artifact on the disk."""
    for folder in sorted((root / "tiny").glob("*/*/*")):
        if folder.name.isdecimal() and folder.parents[1].name in STAGES:
            yield folder.relative_to(root / "tiny").as_posix()


def _kill_in_training(place: Path) -> Path:
    """Kills a run in its Trainer, after a look at it from outside.

    Returns:
        Its folder for temporary files.
    """
    root = place / "root"
    before = set(_artifacts(root))
    training = ["--set", "trainer.seed=8", "--set", "trainer.epochs=100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *_command(place, *training)], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 300
        while not any(new.startswith("Trainer") for new in set(_artifacts(root)) - before):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        here = holder(root)
        assert here
        assert here.pid == process.pid
        assert Path(here.temporary).is_dir()
        assert _runs(root)[0]["outcome"] == "running"
        for refused in (_command(place), ["prune", "--keep", "0", "--pipeline-root", str(root)]):
            code, said = _covers(*refused)
            assert code == 2
            assert re.search(rf"a run that process {process.pid} started at \d\d:\d\d", said)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return Path(here.temporary)


def test_nothing_piles_up_in_a_root_and_it_can_be_moved(place: Path) -> None:
    root = place / "root"
    first = _run(place)
    assert first["outcome"] == "pushed"
    made = set(_artifacts(root)) - {NOT_GIVEN}

    temporary = _kill_in_training(place)
    assert temporary.is_dir()
    assert _runs(root)[0]["outcome"] == "interrupted"
    assert set(_artifacts(root)) > made
    again = _run(place)
    assert again["stages"] == dict.fromkeys(STAGES, "cached")
    assert set(_artifacts(root)) == made
    assert not temporary.exists()
    states = [
        execution.last_known_state
        for execution in open_store(MetadataLocation(root)).get_executions()
    ]
    assert Execution.RUNNING not in states

    other = _run(place, "--set", "trainer.seed=7")
    assert other["outcome"] == "pushed"
    code, said = _covers("prune", "--keep", "1", "--pipeline-root", root)
    assert code == 0
    assert re.match(r"Pruned 3 runs, kept 1: \d+\.\d MB freed", said)
    assert not Path(first["report"]).exists()
    assert Path(first["pushed_model"]).is_dir()
    assert [run["pruned"] for run in _runs(root)] == [False, True, True, True]
    assert _covers("report", "--pipeline-root", root)[1].strip() == other["report"]
    code, said = _covers("diagnose", first["run_id"], "--pipeline-root", root)
    assert code == 2
    assert "was not pruned" in said
    assert _run(place, "--set", "trainer.seed=7")["stages"] == dict.fromkeys(STAGES, "cached")

    back = _run(place)
    assert back["stages"] == {
        **dict.fromkeys(UP_TO_TRAINING, "cached"),
        **dict.fromkeys(FROM_TRAINING_ON, "done"),
    }
    assert back["outcome"] == "pushed"
    before, after = (each["evaluation"]["overall"] for each in (first, back))
    assert after["macro_roc_auc"] == before["macro_roc_auc"]

    moved = root.rename(place / "elsewhere")
    page = moved / Path(back["report"]).relative_to(root)
    assert _covers("report", "--pipeline-root", moved)[1].strip() == str(page)
    assert _runs(moved)[0]["result"]["report"] == str(page)
    assert _run(place, root="elsewhere")["outcome"] == "pushed"
    assert page.is_file()
    assert not root.exists()
