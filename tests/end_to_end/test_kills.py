"""Runs that are killed again and again end as one that nobody disturbed.

COVERS_KILLS sets the number of kills.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.tiny import STAGES, Runs, TinyPipeline

pytestmark = pytest.mark.slow

SEED = 20
KILLS = int(os.environ.get("COVERS_KILLS", "36"))
PREPARE = "Prepare"
ALL_STAGES = (PREPARE, *STAGES)
CHAINS = -(-KILLS // len(ALL_STAGES))


@pytest.fixture(scope="module")
def undisturbed(
    runs: Runs, tiny_covers: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyPipeline:
    tiny = TinyPipeline(runs, tmp_path_factory.mktemp("undisturbed"), tiny_covers)
    code, seen = tiny.run()
    assert code == 0, seen
    tiny.seconds = {
        name: float(seconds) for name, seconds in re.findall(r"(\w+) +done +([\d.]+) s", seen)
    }
    return tiny


@pytest.mark.parametrize("chain", range(CHAINS))
def test_a_run_that_is_killed_in_every_stage_ends_like_an_undisturbed_one(
    undisturbed: TinyPipeline, tiny: TinyPipeline, chain: int
) -> None:
    moments = random.Random(SEED + chain)
    for stage in ALL_STAGES:
        logs = len(tiny.logs())
        pid, output = tiny.start()
        _wait_for(stage, tiny, logs)
        time.sleep(moments.uniform(0, undisturbed.seconds[stage]))
        os.kill(pid, signal.SIGKILL)
        assert tiny.finish(pid, output)[0] in (-signal.SIGKILL, 0)
    code, seen = tiny.run()
    assert code == 0, seen
    assert _outcome(tiny) == _outcome(undisturbed)
    assert len(tiny.versions()) == 1
    code, seen = tiny.run()
    assert code == 0, seen
    assert seen.count(" cached ") == len(STAGES)
    assert len(tiny.versions()) == 1
    assert _left_over(tiny) == []


def _wait_for(stage: str, tiny: TinyPipeline, logs: int) -> None:
    deadline = time.monotonic() + 120
    text = "" if stage == PREPARE else f"Component {stage} is "
    while len(tiny.logs()) == logs or text not in tiny.log():
        assert time.monotonic() < deadline, tiny.log()[-2000:]
        time.sleep(0.01)


def _outcome(tiny: TinyPipeline) -> dict[str, Any]:
    """The examples, the weights and the metrics of the newest run, to the bit."""
    report = json.loads(tiny.report().with_suffix(".json").read_text())
    artifacts = report["provenance"]["artifacts"]
    (version,) = tiny.versions()
    return {
        "examples": _hashes(Path(artifacts["examples"]["uri"]), "Split-*/*"),
        "weights": _hashes(tiny.serving / str(version), "variables/*"),
        "evaluation": report["evaluation"],
        "outcome": report["verdict"]["outcome"],
    }


def _hashes(folder: Path, pattern: str) -> dict[str, str]:
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob(pattern)
    }
    assert found
    return found


def _left_over(tiny: TinyPipeline) -> list[Path]:
    """What only killed runs leave: partial files, and folders of unfinished executions."""
    partial = [path for path in tiny.root.rglob("*") if ".partial" in path.name]
    return [*partial, *tiny.folder.glob("*/.system/executor_execution/*/*")]
