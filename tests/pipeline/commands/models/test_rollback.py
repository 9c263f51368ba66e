"""Rollbacks, in a local folder and in an object store."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from components.contracts.pushed_models import (
    PushedVersion,
    find_baseline,
    newest_version,
    push_model,
    version_numbers,
)
from components.contracts.rollbacks import (
    ROLLBACK_FILE,
    read_rollback,
    refuse_withdrawn,
    rollbacks_at,
    withdrawn_recipes,
)
from components.contracts.saved_models import check_files
from components.support.errors import DeploymentError, ModelNotBlessed
from components.support.file_systems import local_copy
from pipeline.commands.models import rollback as module
from pipeline.commands.models.deletion import delete_version
from pipeline.commands.models.rollback import roll_back
from tests.pipeline.commands.models.conftest import write_model

Push = Callable[..., int]
Covers = Callable[..., tuple[int, str]]

GENRES = ("electronic", "hiphop", "pop")


def _roll_back(destination: str, version: int | None = None) -> int:
    return roll_back(destination, version, by="anna@studio", reason="rock got worse").version


def _served(destination: str) -> PushedVersion:
    served = newest_version(destination)
    assert served
    return served


def test_the_version_before_is_served_again_as_it_was(push: Push, destination: str) -> None:
    first, second = push("a"), push("b")
    new = _roll_back(destination)
    served = _served(destination)
    assert (served.version, served.description.recipe) == (new, "a")
    assert new > second > first
    with local_copy(f"{destination}/{first}") as old, local_copy(served.location) as restored:
        check_files(restored, served.description.files)
        for file in (path.relative_to(old) for path in old.rglob("*.*") if path.is_file()):
            assert (restored / file).read_bytes() == (old / file).read_bytes()
    record = read_rollback(destination, new)
    assert record
    assert (record.restored, record.recipe) == (first, "a")
    assert [(each.version, each.recipe) for each in record.withdrawn] == [(second, "b")]
    assert (record.by, record.reason) == ("anna@studio", "rock got worse")
    assert record.at.endswith("+00:00")


def test_a_model_that_was_taken_back_is_refused_until_it_is_restored(
    push: Push, destination: str
) -> None:
    first, second = push("a"), push("b")
    refuse_withdrawn("b", destination)
    third = _roll_back(destination)
    with pytest.raises(ModelNotBlessed) as caught:
        refuse_withdrawn("b", destination)
    message = str(caught.value)
    assert f"version {second} of this recipe was withdrawn on 20" in message
    assert "UTC by anna@studio: rock got worse" in message
    assert f"covers rollback {second} --destination {destination}" in message
    refuse_withdrawn("a", destination)
    fourth = _roll_back(destination, second)
    refuse_withdrawn("b", destination)
    with pytest.raises(ModelNotBlessed, match=f"version {third} "):
        refuse_withdrawn("a", destination)
    assert sorted(version_numbers(destination)) == [first, second, third, fourth]


def test_models_between_are_taken_back_as_well_with_the_first_reason(
    push: Push, destination: str
) -> None:
    first, second, third = push("a"), push("b"), push("c")
    fourth = _roll_back(destination, second)
    roll_back(destination, first, by="ben", reason="so is pop")
    newest, before = rollbacks_at(destination)
    assert [each.version for each in before.withdrawn] == [third]
    assert [each.version for each in newest.withdrawn] == [fourth, second]
    with pytest.raises(ModelNotBlessed, match="rock got worse"):
        refuse_withdrawn("c", destination)
    with pytest.raises(ModelNotBlessed, match="so is pop"):
        refuse_withdrawn("b", destination)


def test_rolling_back_twice_goes_two_models_back(push: Push, destination: str) -> None:
    for recipe in ("a", "b", "b", "c"):
        push(recipe)
    _roll_back(destination)
    assert _served(destination).description.recipe == "b"
    _roll_back(destination)
    assert _served(destination).description.recipe == "a"
    with pytest.raises(DeploymentError, match="6 versions"):
        _roll_back(destination)


def test_the_restored_version_is_the_next_baseline(push: Push, destination: str) -> None:
    first, _, third = push("a"), push("b"), push("c")
    restored = _roll_back(destination)

    def baseline(recipe: str) -> int | None:
        withdrawn = withdrawn_recipes(rollbacks_at(destination))
        found = find_baseline(destination, recipe=recipe, genres=GENRES, withdrawn=withdrawn)
        return found.version if found else None

    assert baseline("new") == restored
    assert baseline("c") == restored
    assert baseline("b") == first  # neither with itself nor with what was taken back
    assert third not in {baseline(recipe) for recipe in ("a", "b", "c", "new")}


def test_a_newest_version_that_is_damaged_gives_way_to_the_one_before(
    push: Push, destination: str
) -> None:
    first, second = push("a"), push("b")
    _remove(f"{destination}/{second}/variables/variables.index")
    new = _roll_back(destination)
    assert _served(destination).version == new
    record = read_rollback(destination, new)
    assert record
    assert (record.restored, record.withdrawn) == (first, ())
    refuse_withdrawn("b", destination)  # the damage is not its fault


@pytest.mark.parametrize("damage", ["missing", "other bytes"])
def test_a_damaged_version_is_not_restored(push: Push, destination: str, damage: str) -> None:
    first, second = push("a"), push("b")
    name = f"{destination}/{first}/variables/variables.index"
    if damage == "missing":
        _remove(name)
    else:
        with fsspec.open(name, "wb") as file:
            file.write(b"other bytes")
    with pytest.raises(DeploymentError, match=rf"(?s){destination}/{first}.*variables\.index"):
        _roll_back(destination, first)
    assert _served(destination).version == second
    assert version_numbers(destination) == {first, second}


def test_what_cannot_be_restored_is_said(push: Push, destination: str) -> None:
    with pytest.raises(DeploymentError, match="Received: no versions"):
        _roll_back(destination)
    first = push("a")
    with pytest.raises(DeploymentError, match="Received: 1 version, none of them"):
        _roll_back(destination)
    with pytest.raises(DeploymentError, match="not served already"):
        _roll_back(destination, first)
    with pytest.raises(DeploymentError, match="Received: 5, which is not there"):
        _roll_back(destination, 5)
    push("b")
    _roll_back(destination)
    with pytest.raises(DeploymentError, match=f"{first}, the same model as the newest version"):
        _roll_back(destination, first)


def test_a_push_at_the_same_moment_wins(
    push: Push, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push("a"), push("b")
    write = module.write_rollback

    def meanwhile(*arguments: object) -> None:
        push("c")
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_rollback", meanwhile)
    with pytest.raises(DeploymentError, match="Nothing was rolled back"):
        _roll_back(destination)
    assert _served(destination).description.recipe == "c"
    assert len(version_numbers(destination)) == 3
    assert rollbacks_at(destination) == []


def test_of_several_rollbacks_at_the_same_moment_one_is_done_at_most(
    push: Push, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {push("a"), push("b")}
    everybody = threading.Barrier(3)
    write = module.write_rollback

    def together(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        everybody.wait()

    def try_to(number: int) -> int:
        try:
            roll_back(destination, None, by=str(number), reason="worse")
        except DeploymentError:
            return 0
        return 1

    monkeypatch.setattr(module, "write_rollback", together)
    with ThreadPoolExecutor(3) as pool:
        done = sum(pool.map(try_to, range(3)))
    # In an object store each may see the other, and none goes on.
    assert done <= 1 if "://" in destination else done == 1
    assert len(version_numbers(destination) - before) == done
    assert len(rollbacks_at(destination)) == done


def test_nothing_else_is_written_to_the_folder(tmp_path: Path) -> None:
    """And the record is there before the version is."""
    serving = tmp_path / "serving"
    for recipe in ("a", "b"):
        write_model(tmp_path / recipe, recipe)
        push_model(tmp_path / recipe, str(serving))
    new = _roll_back(str(serving))
    assert [path.name for path in serving.iterdir() if path.name.startswith(".")] == []
    fields = json.loads((serving / str(new) / ROLLBACK_FILE).read_text())
    assert sorted(fields) == [
        "at", "by", "format_version", "reason", "recipe", "restored", "withdrawn"
    ]  # fmt: skip


def test_the_version_that_is_restored_stays_as_it_is(tmp_path: Path) -> None:
    """Also its own record, if a rollback published it; and the new one holds files, not links."""
    serving = tmp_path / "serving"
    for recipe in ("a", "b"):
        write_model(tmp_path / recipe, recipe)
        push_model(tmp_path / recipe, str(serving))
    restored = serving / str(_roll_back(str(serving)))
    push_model(tmp_path / "b", str(serving))
    before = {path: path.read_bytes() for path in restored.rglob("*") if path.is_file()}
    new = serving / str(_roll_back(str(serving), int(restored.name)))
    assert {path: path.read_bytes() for path in restored.rglob("*") if path.is_file()} == before
    assert len(list(new.rglob("*"))) == len(list(restored.rglob("*")))
    assert not [path for path in new.rglob("*") if path.is_symlink()]
    assert (new / ROLLBACK_FILE).read_bytes() != (restored / ROLLBACK_FILE).read_bytes()


def test_a_record_that_cannot_be_read_is_named(push: Push, destination: str) -> None:
    push("a"), push("b")
    new = _roll_back(destination)
    record = f"{destination}/{new}/{ROLLBACK_FILE}"
    with fsspec.open(record, "wb") as file:
        file.write(b"{")
    with pytest.raises(DeploymentError, match=f"the record of a rollback, version 1, at {record}"):
        refuse_withdrawn("b", destination)


def test_the_command_says_what_it_did(push: Push, destination: str, covers: Covers) -> None:
    first, second = push("a"), push("b")
    where = ("--destination", destination)
    code, seen = covers("rollback", *where)
    assert (code, "--reason" in seen) == (2, True)
    code, seen = covers("rollback", "--reason", "  ", *where)
    assert (code, "Expected why" in seen) == (2, True)
    code, seen = covers("rollback", "--reason", "worse", "--by", "anna", *where)
    assert code == 0, seen
    assert f"Version {first} is served again, as version" in seen
    assert f"Withdrawn: version {second}." in seen
    code, seen = covers("rollback", second, "--reason", "better after all", "--json", *where)
    answer = json.loads(seen)
    assert (code, answer["restored"], answer["recipe"]) == (0, second, "b")
    assert "@" in answer["by"]
    code, seen = covers("rollback", second, "--reason", "again", *where)
    assert (code, "not served already" in seen) == (1, True)


def _remove(location: str) -> None:
    file_system, path = fsspec.core.url_to_fs(location)
    file_system.rm_file(path)


def test_a_version_that_is_deleted_while_it_is_restored_is_never_half_restored(
    push: Push, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = push("a"), push("b")
    really_check = module.check_files

    def check_and_delete(*arguments: object) -> None:
        really_check(*arguments)  # type: ignore[arg-type]
        delete_version(destination, first)

    monkeypatch.setattr(module, "check_files", check_and_delete)
    if destination.startswith("s3:"):  # the files were copied before
        assert _roll_back(destination) == _served(destination).version
        assert _served(destination).description.recipe == "a"
        return
    with pytest.raises(DeploymentError, match=rf"version {first} at .* deleted it meanwhile"):
        _roll_back(destination)
    assert _served(destination).version == second
    assert version_numbers(destination) == {second}
    assert [path.name for path in Path(destination).glob(".*.partial")] == []
