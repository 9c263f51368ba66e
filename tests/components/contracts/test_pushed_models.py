from __future__ import annotations

from pathlib import Path

from components.contracts.pushed_models import find_baseline, pushed_versions
from components.contracts.signatures import ModelDescription, write_model_description

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
