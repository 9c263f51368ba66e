"""`covers models prune`, and deletions that are killed."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from components.contracts.pushed_models import CLAIM_FILE, pushed_versions, version_numbers
from components.contracts.rollbacks import refuse_withdrawn, rollbacks_at
from components.support.errors import ModelNotBlessed
from pipeline.commands.models import deletion, retention
from pipeline.commands.models.pins import Pin, pin_version
from pipeline.commands.models.retention import prune_models
from pipeline.commands.models.rollback import roll_back
from pipeline.runner.sweep import unfinished_files

Push = Callable[..., int]
Covers = Callable[..., tuple[int, str]]


def _pin(destination: str, version: int) -> None:
    pin_version(destination, Pin(version, "2026-11-26T10:00:00+00:00", "anna", "a contract"))


def _entries(destination: str) -> set[str]:
    store, path = fsspec.core.url_to_fs(destination)
    store.invalidate_cache()
    return {name.removeprefix(f"{path}/") for name in store.find(path, withdirs=True)}


def _variables(destination: str) -> set[str]:
    return {name for name in _entries(destination) if name.endswith("variables.index")}


def test_old_versions_are_deleted_and_others_kept(
    push: Push, destination: str, covers: Covers
) -> None:
    versions = [push(recipe) for recipe in ("a", "b", "c", "d", "d", "d")]
    _pin(destination, versions[0])
    before = _entries(destination)
    command = ("models", "prune", "--keep", 2, "--destination", destination)
    planned = json.loads(covers(*command, "--dry-run", "--json")[1])
    assert _entries(destination) == before
    assert planned["deleted"] == [versions[3], versions[1]]
    assert planned["kept"] == {
        str(versions[5]): "served",
        str(versions[4]): "one of the newest 2",
        str(versions[2]): "a rollback would restore it",
        str(versions[0]): "pinned by anna: a contract",
    }
    code, seen = covers(*command)
    assert code == 0
    assert seen.startswith("Deleted 2 versions, kept 4: ")
    assert "pinned by anna: a contract" in seen
    assert version_numbers(destination) == {versions[0], versions[2], *versions[4:]}
    left = {name.split("/")[0] for name in _entries(destination)}
    assert {name for name in left if name.startswith(".")} <= {".pins", ".deleting"}
    again = json.loads(covers(*command, "--json")[1])
    assert (again["deleted"], again["freed_bytes"]) == ([], 0)


def test_damaged_versions_are_named_and_deleted_like_others(push: Push, destination: str) -> None:
    versions = [push(recipe) for recipe in ("a", "b", "c", "d", "e")]
    for version in (versions[0], versions[4]):
        store, path = fsspec.core.url_to_fs(f"{destination}/{version}/variables/variables.index")
        store.rm_file(path)
    pruned = prune_models(destination, 1)
    assert [model.version for model in pruned.deleted] == [versions[2], versions[1], versions[0]]
    assert pruned.deleted[-1].damage == "variables/variables.index is missing"
    assert pruned.damaged == {versions[4]: "variables/variables.index is missing"}
    assert version_numbers(destination) == {versions[3], versions[4]}


def test_a_version_with_other_bytes_does_not_stand_for_the_one_that_is_served_instead(
    push: Push, destination: str
) -> None:
    versions = [push(recipe) for recipe in ("a", "b", "c")]
    store, path = fsspec.core.url_to_fs(destination)
    store.pipe_file(f"{path}/{versions[2]}/variables/variables.index", b"other bytes")
    pruned = prune_models(destination, 1)
    assert version_numbers(destination) >= {versions[1], versions[2]}
    assert versions[1] in pruned.kept


def test_what_was_taken_back_stays_so_when_its_record_is_pruned(
    push: Push, destination: str
) -> None:
    push("a"), push("b")
    rollback = roll_back(destination, None, by="anna", reason="worse")
    last = [push("c"), push("d")]
    prune_models(destination, 1)
    assert version_numbers(destination) == set(last)
    assert rollbacks_at(destination) == [rollback]
    with pytest.raises(ModelNotBlessed, match=r"by anna: worse\. That version was deleted since"):
        refuse_withdrawn("b", destination)


def test_a_version_that_is_pinned_meanwhile_is_kept(
    push: Push, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = (push(recipe) for recipe in ("a", "b", "c"))
    read = retention.read_models

    def and_then_pin(where: str) -> object:
        found = read(where)
        _pin(where, first)
        return found

    monkeypatch.setattr(retention, "read_models", and_then_pin)
    pruned = prune_models(destination, 1)
    assert pruned.deleted == ()
    assert pruned.kept[first] == "pinned meanwhile"
    assert first in version_numbers(destination)


def test_the_next_prune_finishes_a_deletion_that_was_killed(
    push: Push, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second, third = (push(recipe) for recipe in ("a", "b", "c"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "shutil", SimpleNamespace(rmtree=killed))
        patch.setattr(deletion, "_finish", killed)
        with pytest.raises(KeyboardInterrupt):
            prune_models(destination, 1)
    assert [each.version for each in pushed_versions(destination)] == [third, second]
    assert len(_variables(destination)) == 3
    assert prune_models(destination, 1).deleted == ()
    assert version_numbers(destination) == {second, third}
    assert len(_variables(destination)) == 2


def test_a_run_removes_what_a_killed_deletion_left(tmp_path: Path) -> None:
    left = tmp_path / "root" / "covers" / "serving" / ".7.abc.deleted"
    left.mkdir(parents=True)
    (tmp_path / "root" / ".lock").touch()
    assert unfinished_files(tmp_path / "root") == [left]


def test_an_upload_that_was_killed_is_removed_once_it_is_old(
    push: Push, destination: str, covers: Covers, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = push("a")
    if not destination.startswith("s3:"):
        pytest.skip("in a folder versions appear whole")
    store, path = fsspec.core.url_to_fs(destination)
    store.pipe_file(f"{path}/7/{CLAIM_FILE}", b"")
    store.pipe_file(f"{path}/7/variables/variables.index", b"half")
    for name in ("2024/cover.jpg", "2024/variables/variables.index", "8/assets.extra/notes"):
        store.pipe_file(f"{path}/{name}", b"somebody's")
    command = ("models", "prune", "--keep", 1, "--destination", destination, "--json")
    assert json.loads(covers(*command)[1])["abandoned"] == []
    monkeypatch.setattr(deletion, "_ABANDONED_AFTER", datetime.timedelta(seconds=-60))
    assert json.loads(covers(*command, "--dry-run")[1])["abandoned"] == [7]
    assert "7/variables/variables.index" in _entries(destination)
    code, seen = covers(*command[:-1])
    assert code == 0
    assert "deleted 7              the upload was never finished" in seen
    assert version_numbers(destination) == {whole, 2024, 8}
    assert len({name for name in _entries(destination) if name.startswith(("2024/", "8/"))}) == 5
