from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.contracts.pushed_models import (
    find_baseline,
    next_location,
    push_model,
    pushed_versions,
)
from components.contracts.signatures import ModelDescription, write_model_description
from components.support.errors import DeploymentError

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


def test_an_incomplete_version_is_passed_over(tmp_path: Path) -> None:
    _push(tmp_path, 1, "old")
    (tmp_path / "2").mkdir()
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "saved_model.pb").touch()
    assert [found.version for found in pushed_versions(tmp_path)] == [1]


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
    with pytest.raises(DeploymentError, match="another run pushed"):
        push_model(tmp_path / "model" / "1", destination, location)
    assert list(pushed_versions(destination)) == [first]


def test_of_pushes_to_one_place_at_the_same_time_one_succeeds(tmp_path: Path) -> None:
    _push(tmp_path / "model", 1, "mine")
    destination = str(tmp_path / "serving")
    location = next_location(destination)

    def push(_: int) -> bool:
        try:
            push_model(tmp_path / "model" / "1", destination, location)
        except DeploymentError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(push, range(8))) == 1
    assert [path.name for path in Path(destination).iterdir()] == [Path(location).name]
