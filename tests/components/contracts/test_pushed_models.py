from __future__ import annotations

import dataclasses
import multiprocessing
import shutil
import time
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from components.contracts.pushed_models import (
    CLAIM_FILE,
    all_versions,
    find_baseline,
    newest_version,
    next_location,
    push_model,
    pushed_versions,
    unfinished_pushes,
)
from components.contracts.saved_models import file_digests
from components.contracts.signatures import (
    DESCRIPTION_FILE,
    ModelDescription,
    read_model_description,
    write_model_description,
)
from components.support.errors import DeploymentError, ModelNotBlessed
from tests.components.contracts.marked_models import check_marked_model, write_marked_model

GENRES = ("pop", "rock")


def _push(destination: Path, version: int, recipe: str, genres: tuple[str, ...] = GENRES) -> None:
    folder = destination / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    description = ModelDescription(genres, tuple(0.5 for _ in genres), 150, recipe, {})
    write_model_description(folder, description)


def test_nothing_was_pushed(tmp_path: Path) -> None:
    assert find_baseline(tmp_path / "serving", recipe="a", genres=GENRES) is None


def test_the_newest_version_is_by_number_not_by_text(tmp_path: Path) -> None:
    for version in (9, 10, 2):
        _push(tmp_path, version, f"recipe {version}")
    assert [found.version for found in pushed_versions(tmp_path)] == [10, 9, 2]


def test_a_model_is_not_compared_with_itself(tmp_path: Path) -> None:
    _push(tmp_path, 1, "old")
    _push(tmp_path, 2, "new")
    found = find_baseline(tmp_path, recipe="new", genres=GENRES)
    assert found is not None
    assert found.version == 1
    assert find_baseline(tmp_path, recipe="other", genres=GENRES).version == 2


def test_a_model_for_other_genres_is_no_baseline(tmp_path: Path) -> None:
    _push(tmp_path, 1, "old", ("jazz", "pop"))
    assert find_baseline(tmp_path, recipe="new", genres=GENRES) is None


def test_foreign_entries_are_passed_over(tmp_path: Path) -> None:
    _push(tmp_path, 1, "old")
    for name in ("2", "latest", "3_tmp", "-4", "\u0665", str(2**63), str(10**30)):
        (tmp_path / name).mkdir()
    (tmp_path / str(2**63) / "saved_model.pb").touch()
    (tmp_path / "5").touch()
    assert [found.version for found in pushed_versions(tmp_path)] == [1]
    assert 1 < push_model(tmp_path / "1", str(tmp_path)).version < 2**63


@pytest.mark.parametrize("damage", ["no description", "no graph", "no weights", "not JSON"])
def test_a_damaged_version_is_named_where_it_matters(tmp_path: Path, damage: str) -> None:
    _push(tmp_path / "model", 1, "old")
    model = tmp_path / "model" / "1"
    (model / "weights").write_bytes(b"weights")
    description = read_model_description(model)
    files = file_digests(model)
    write_model_description(model, dataclasses.replace(description, files=files))
    serving = tmp_path / "serving"
    push_model(model, str(serving))
    damaged = push_model(model, str(serving))
    names = {"no description": DESCRIPTION_FILE, "no graph": "saved_model.pb"}
    file = Path(damaged.location) / names.get(damage, "weights")
    if damage == "not JSON":
        (Path(damaged.location) / DESCRIPTION_FILE).write_text("{")
    else:
        file.unlink()
    with pytest.raises(DeploymentError, match=damaged.location):
        find_baseline(serving, recipe="new", genres=GENRES)
    with pytest.raises(DeploymentError, match="as it was pushed"):
        newest_version(serving)
    assert len(list(pushed_versions(serving))) == 1
    assert len(list(all_versions(serving))) == 2


def test_a_damaged_version_of_the_candidate_itself_is_no_obstacle(tmp_path: Path) -> None:
    _push(tmp_path / "model", 1, "mine")
    serving = tmp_path / "serving"
    pushed = push_model(tmp_path / "model" / "1", str(serving))
    (Path(pushed.location) / "saved_model.pb").unlink()
    assert find_baseline(serving, recipe="mine", genres=GENRES) is None


def test_no_location_comes_twice_even_if_its_version_is_gone(tmp_path: Path) -> None:
    """Caches would take the version of an earlier run for that of this one."""
    destination = str(tmp_path / "serving")
    ahead = 10**14  # from a clock that is ahead
    _push(tmp_path / "serving", ahead, "old")
    locations = set()
    for _ in range(5):
        location = next_location(destination)
        assert int(Path(location).name) > ahead
        locations.add(location)
    assert len(locations) > 1
    shutil.rmtree(destination)
    assert int(Path(next_location(destination)).name) < ahead


def test_a_version_of_another_run_is_not_overwritten(tmp_path: Path) -> None:
    _push(tmp_path / "model", 1, "mine")
    destination = str(tmp_path / "serving")
    location = next_location(destination)
    first = push_model(tmp_path / "model" / "1", destination, location)
    assert first.location == location
    second = push_model(tmp_path / "model" / "1", destination, location)
    assert second.version > first.version
    assert list(pushed_versions(destination)) == [second, first]


def test_only_what_nobody_writes_any_more_is_left_over(tmp_path: Path) -> None:
    """A rollback publishes a version while a run may begin, which removes what is left over."""
    _push(tmp_path / "model", 1, "mine")
    serving = tmp_path / "serving"
    killed = serving / ".7.abc.partial"
    killed.mkdir(parents=True)
    seen = []

    def look(location: str) -> None:
        assert len(list(serving.glob(".*.partial"))) == 2
        seen.append(unfinished_pushes(serving))

    push_model(tmp_path / "model" / "1", str(serving), check=look)
    assert seen == [[killed]]


def test_what_a_check_refuses_does_not_appear(tmp_path: Path) -> None:
    _push(tmp_path / "model", 1, "mine")
    serving = tmp_path / "serving"

    def refuse(location: str) -> None:
        raise DeploymentError(location)

    with pytest.raises(DeploymentError, match=str(serving)):
        push_model(tmp_path / "model" / "1", str(serving), check=refuse)
    assert list(serving.iterdir()) == []


@pytest.mark.parametrize("removable", [True, False])
def test_what_a_check_refuses_is_not_hidden_by_a_store_that_lets_nothing_be_removed(
    tmp_path: Path, removable: bool, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    _push(tmp_path / "model", 1, "mine")
    serving = f"memory://{tmp_path.name}-{removable}"

    def refuse(location: str) -> None:
        raise ModelNotBlessed("withdrawn")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError("AccessDenied s3:DeleteObject")

    if not removable:
        monkeypatch.setattr(MemoryFileSystem, "rm", deny)
    with pytest.raises(ModelNotBlessed, match="withdrawn"):
        push_model(tmp_path / "model" / "1", serving, check=refuse)
    assert list(all_versions(serving)) == []
    assert bool(fsspec.filesystem("memory").find(serving)) != removable
    assert ("could not be removed" in caplog.text) != removable


def test_a_store_without_conditions_gets_a_claim_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    _push(tmp_path / "model", 1, "mine")
    write = MemoryFileSystem.pipe_file

    def without_conditions(self: Any, path: str, value: bytes, mode: str = "overwrite") -> None:
        if mode == "create":
            raise OSError("NotImplemented: If-None-Match")
        write(self, path, value, mode=mode)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", without_conditions)
    version = push_model(tmp_path / "model" / "1", f"memory://{tmp_path.name}-claims")
    assert fsspec.filesystem("memory").exists(f"{version.location}/{CLAIM_FILE}")
    assert "does not keep two writers apart" in caplog.text


def test_pushers_of_other_processes_get_versions_of_their_own(tmp_path: Path) -> None:
    """And whoever polls the folder, as TensorFlow Serving does, sees whole versions only."""
    pushers, pushes = 3, 40
    serving = tmp_path / "serving"
    for pusher in range(pushers):
        write_marked_model(tmp_path / str(pusher), pusher)
    processes = [
        multiprocessing.get_context("fork").Process(
            target=_push_often, args=(tmp_path / str(pusher), str(serving), pushes)
        )
        for pusher in range(pushers)
    ]
    for process in processes:
        process.start()
    seen: set[str] = set()
    while any(process.is_alive() for process in processes):
        for version in serving.glob("[0-9]*"):
            check_marked_model(version)
            seen.add(version.name)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(list(pushed_versions(serving))) == pushers * pushes
    assert {path.name for path in serving.iterdir()} >= seen
    assert not list(serving.glob(".*"))


def _push_often(model: Path, serving: str, times: int) -> None:
    for _ in range(times):
        location = f"{serving}/{time.time_ns() // 100_000_000}"  # the same for all pushers
        push_model(model, serving, location)
