"""What somebody sees who polls the destination, as TensorFlow Serving does."""

from __future__ import annotations

import multiprocessing
import random
import re
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from components.contracts.pushed_models import push_model, unfinished_pushes
from components.support.errors import DeploymentError
from pipeline.commands.models.deletion import finish_deletions
from pipeline.commands.models.retention import prune_models
from pipeline.commands.models.rollback import roll_back
from tests.components.contracts.marked_models import check_marked_model, write_marked_model

FIRST = 2  # models that are pushed before
ROUNDS = 15


def _go_back_and_forth(models: Path, destination: str, rounds: int) -> None:
    """Pushes, rolls back and prunes: the newest version changes twice in each round."""
    for number in range(rounds):
        push_model(models / str(FIRST + number), destination)
        roll_back(destination, None, by="anna", reason="worse")
        prune_models(destination, 2)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for pusher in range(FIRST + ROUNDS):
        write_marked_model(tmp_path / "models" / str(pusher), pusher)
    return tmp_path / "models"


@pytest.mark.slow
def test_whoever_polls_a_folder_always_sees_a_whole_newest_version(
    models: Path, tmp_path: Path
) -> None:
    serving = tmp_path / "serving"
    for pusher in range(FIRST):
        push_model(models / str(pusher), str(serving))
    process = multiprocessing.get_context("fork").Process(
        target=_go_back_and_forth, args=(models, str(serving), ROUNDS)
    )
    process.start()
    seen: set[str] = set()
    while process.is_alive():
        newest = max(serving.glob("[0-9]*"), key=lambda version: int(version.name))
        try:
            check_marked_model(newest)
        except (FileNotFoundError, DeploymentError):
            assert not newest.exists(), "an incomplete version"
            continue  # a slow look: it has been deleted, and is not the newest any more
        seen.add(newest.name)
    process.join()
    assert process.exitcode == 0
    assert len(seen) > 2
    assert not list(serving.glob(".*.partial")) + list(serving.glob(".*.deleted"))


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_whole_versions_and_what_the_next_command_removes(
    models: Path, tmp_path: Path
) -> None:
    serving = tmp_path / "serving"
    for pusher in range(FIRST):
        push_model(models / str(pusher), str(serving))
    moments = random.Random(0)
    killed = 0
    for _ in range(20):
        process = multiprocessing.get_context("fork").Process(
            target=_go_back_and_forth, args=(models, str(serving), ROUNDS)
        )
        process.start()
        time.sleep(moments.uniform(0.01, 0.3))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        versions = list(serving.glob("[0-9]*"))
        assert versions
        for version in versions:
            check_marked_model(version)
    assert killed
    finish_deletions(str(serving))
    for partial in unfinished_pushes(serving):
        shutil.rmtree(partial)
    assert {path.name for path in serving.iterdir() if path.name.startswith(".")} <= {".rollbacks"}


@pytest.mark.slow
def test_whoever_polls_a_bucket_always_sees_a_whole_newest_version(
    s3: dict[str, str], models: Path, tmp_path: Path
) -> None:
    destination = f"s3://bucket/{tmp_path.name}/serving"
    for pusher in range(FIRST):
        push_model(models / str(pusher), destination)
    store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    newest = ""
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(_go_back_and_forth, models, destination, 2)
        while not working.done():
            graphs = [
                graph
                for graph in store.glob(f"{destination}/*/saved_model.pb")
                if re.search(r"/[0-9]+/saved_model\.pb$", graph)
            ]
            assert graphs, "no version"
            found = max(graphs)
            assert found >= newest
            newest = found
            folder = found.rpartition("/")[0]
            names = store.find(f"{folder}/variables")
            assert len(names) == 9 or not store.exists(found)
    working.result()
