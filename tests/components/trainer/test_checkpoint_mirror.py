"""Checkpoints in an object store: whole, few, and never in the way of training."""

from __future__ import annotations

import datetime
import json
from typing import Any

import fsspec
import numpy as np
import pytest

from components.trainer.checkpoint_mirror import CheckpointMirror, open_mirror
from components.trainer.checkpoints import CHECKPOINT_FILE, read_checkpoint


@pytest.fixture
def root(s3: Any, request: pytest.FixtureRequest) -> str:
    return f"s3://bucket/{request.node.name}"


def _write(mirror: CheckpointMirror, step: int) -> None:
    text = json.dumps({"format": 1, "state": {"step": step}, "best_weights": None})
    fields = np.frombuffer(text.encode(), np.uint8)
    np.savez(mirror.folder / CHECKPOINT_FILE, fields=fields, weights=np.full(1000, step))
    mirror.push()


def _step(mirror: CheckpointMirror | None) -> int | None:
    assert mirror
    checkpoint = read_checkpoint(mirror.folder)
    return checkpoint and checkpoint._fields["state"]["step"]


def _copies(root: str) -> list[str]:
    store = fsspec.filesystem("s3")
    store.invalidate_cache()
    return [name.rpartition("/")[2] for name in sorted(store.find(root))]


def _pushed(root: str, steps: int, recipe: str = "recipe") -> CheckpointMirror:
    mirror = open_mirror(root, recipe)
    assert mirror
    for step in range(1, steps + 1):
        _write(mirror, step)
    return mirror


def test_another_attempt_begins_at_the_newest_of_the_two_that_are_kept(root: str) -> None:
    _pushed(root, 3)
    assert _copies(root) == ["00000002.npz", "00000003.npz"]
    again = open_mirror(root, "recipe")
    assert _step(again) == 3
    assert again
    _write(again, 4)
    assert _copies(root) == ["00000003.npz", "00000004.npz"]
    assert _step(open_mirror(root, "another")) is None


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "no archive", "gone"])
def test_a_damaged_copy_is_passed_over(root: str, damage: str) -> None:
    mirror = _pushed(root, 2)
    store = fsspec.filesystem("s3")
    newest = f"{mirror.url}/00000002.npz"
    content = store.cat_file(newest)
    middle = len(content) // 2
    damaged = {
        "empty": b"",
        "cut": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "no archive": b"x" * 100,
    }
    if damage == "gone":
        store.rm_file(newest)
    else:
        store.pipe_file(newest, damaged[damage])
    assert _step(open_mirror(root, "recipe")) == 1


def test_when_all_are_damaged_training_starts_over(root: str) -> None:
    mirror = _pushed(root, 2)
    for copy in _copies(root):
        fsspec.filesystem("s3").pipe_file(f"{mirror.url}/{copy}", b"damaged")
    again = open_mirror(root, "recipe")
    assert again and not list(again.folder.iterdir())


def test_nothing_is_left_when_training_has_ended(root: str) -> None:
    _pushed(root, 2).remove()
    assert _copies(root) == []


def test_forgotten_copies_of_other_recipes_are_removed(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pushed(root, 1, "old")
    _pushed(root, 1, "mine")
    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=15)
    monkeypatch.setattr(CheckpointMirror, "_modified", lambda self, name: old)
    _pushed(root, 0, "mine")
    assert _copies(f"{root}/old") == []
    assert _copies(f"{root}/mine") == ["00000001.npz"]


def test_copies_of_other_recipes_that_are_in_use_stay(root: str) -> None:
    _pushed(root, 1, "other")
    _pushed(root, 1, "mine")
    assert _copies(f"{root}/other") == ["00000001.npz"]


def test_a_store_that_cannot_be_used_is_a_warning(s3: Any, caplog: Any) -> None:
    assert open_mirror("minio://bucket/state", "recipe") is None
    assert "No checkpoints: Expected" in caplog.text
    mirror = CheckpointMirror("s3://no-such-bucket/state", "recipe")
    (mirror.folder / CHECKPOINT_FILE).write_bytes(b"x")
    mirror.push()
    assert "No checkpoint could be kept" in caplog.text


def test_a_folder_needs_no_mirror(tmp_path: Any) -> None:
    assert open_mirror(str(tmp_path), "recipe") is None
    assert open_mirror("", "recipe") is None
