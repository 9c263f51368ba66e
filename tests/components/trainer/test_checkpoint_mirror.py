"""Checkpoints in an object store: whole, few, and never in the way of training."""

from __future__ import annotations

import json
from typing import Any

import fsspec
import numpy as np
import pytest

from components.support.file_systems import open_file_system
from components.trainer import checkpoint_mirror, checkpoints
from components.trainer.checkpoint_mirror import CheckpointMirror, open_checkpoints, open_mirror
from components.trainer.checkpoints import CHECKPOINT_FILE, read_checkpoint

MINE, OTHER = "a" * 64, "b" * 64

# What may lie in a bucket beside the mirror's copies: all of it is somebody's.
FOREIGN = (
    "embeddings.npz",
    "00000001.npz",
    "album_covers/00000001.npz",
    "album_covers/2019/embeddings.npz",
    f"{OTHER[:32]}/embeddings.npz",
    f"{OTHER[:32]}/1.npz",
    f"{OTHER[:32]}/123456789.npz",
    f"{OTHER[:32]}/00000001.npz.bak",
    f"{OTHER[:32]}/2019/00000001.npz",
    f"{OTHER[:31]}/00000001.npz",
    f"{OTHER[:33]}/00000001.npz",
    f"{'B' * 32}/00000001.npz",
    f"old/{OTHER[:32]}/00000001.npz",
    f"{MINE[:32]}/00000001/00000001.npz",
    f"{MINE[:32]}/embeddings.npz",
    f"{MINE[:32]}/1.npz",
    f"{MINE[:32]}/\u06610000001.npz",
)


class _Store:
    """A file system some of whose methods raise."""

    def __init__(self, file_system: Any, **errors: Exception) -> None:
        self._file_system = file_system
        self._errors = errors

    def __getattr__(self, name: str) -> Any:
        if name in self._errors:
            return self._raise(self._errors[name])
        return getattr(self._file_system, name)

    @staticmethod
    def _raise(error: Exception) -> Any:
        def refuse(*_: object, **__: object) -> None:
            raise error

        return refuse


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes methods of the mirror's store raise: `failing(rm_file=PermissionError())`."""

    def fail(**errors: Exception) -> None:
        def opened(url: str) -> tuple[Any, str]:
            file_system, path = open_file_system(url)
            return _Store(file_system, **errors), path

        monkeypatch.setattr(checkpoint_mirror, "open_file_system", opened)

    return fail


@pytest.fixture
def all_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every copy count as not touched for two weeks."""
    monkeypatch.setattr(checkpoint_mirror, "_KEPT_DAYS", -1)


@pytest.fixture
def root(s3: Any, request: pytest.FixtureRequest) -> str:
    return f"s3://bucket/{request.node.name}"


def _write(mirror: CheckpointMirror, step: int) -> None:
    fields = {"format": checkpoints._FORMAT, "state": {"step": step}, "best_weights": None}
    text = np.frombuffer(json.dumps(fields).encode(), np.uint8)
    np.savez(mirror.folder / CHECKPOINT_FILE, fields=text, weights=np.full(1000, step))
    mirror.push()


def _step(mirror: CheckpointMirror | None) -> int | None:
    assert mirror
    checkpoint = read_checkpoint(mirror.folder)
    return checkpoint and checkpoint._fields["state"]["step"]


def _copies(root: str) -> list[str]:
    store = fsspec.filesystem("s3")
    store.invalidate_cache()
    return [name.rpartition("/")[2] for name in sorted(store.find(root))]


def _pushed(root: str, steps: int, recipe: str = MINE) -> CheckpointMirror:
    mirror = open_mirror(root, recipe)
    assert mirror
    for step in range(1, steps + 1):
        _write(mirror, step)
    return mirror


def test_another_attempt_begins_at_the_newest_of_the_two_that_are_kept(root: str) -> None:
    _pushed(root, 3)
    assert _copies(root) == ["00000002.npz", "00000003.npz"]
    again = open_mirror(root, MINE)
    assert _step(again) == 3
    assert again
    _write(again, 4)
    assert _copies(root) == ["00000003.npz", "00000004.npz"]
    assert _step(open_mirror(root, OTHER)) is None


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
    assert _step(open_mirror(root, MINE)) == 1


def test_when_all_are_damaged_training_starts_over(root: str) -> None:
    mirror = _pushed(root, 2)
    for copy in _copies(root):
        fsspec.filesystem("s3").pipe_file(f"{mirror.url}/{copy}", b"damaged")
    again = open_mirror(root, MINE)
    assert again and not list(again.folder.iterdir())


def test_nothing_is_left_when_training_has_ended(root: str) -> None:
    _pushed(root, 2).remove()
    assert _copies(root) == []


def test_forgotten_copies_of_other_recipes_are_removed(root: str, all_old: None) -> None:
    _pushed(root, 1, OTHER)
    _pushed(root, 1, MINE)
    assert _copies(f"{root}/{OTHER[:32]}") == []
    _pushed(root, 0, MINE)
    assert _copies(f"{root}/{MINE[:32]}") == ["00000001.npz"]


def test_copies_of_other_recipes_that_are_in_use_stay(root: str) -> None:
    _pushed(root, 1, OTHER)
    _pushed(root, 1, MINE)
    assert _copies(f"{root}/{OTHER[:32]}") == ["00000001.npz"]


@pytest.mark.parametrize("below", ["", "/checkpoints"])
def test_what_the_mirror_did_not_write_is_never_removed(s3: Any, all_old: None, below: str) -> None:
    store = fsspec.filesystem("s3")
    bucket = f"foreign{below.replace('/', '-')}"
    store.mkdir(bucket)
    for name in FOREIGN:
        store.pipe_file(f"{bucket}{below}/{name}", b"x")
    _pushed(f"s3://{bucket}{below}", 4).remove()
    store.invalidate_cache()
    assert sorted(store.find(bucket)) == sorted(f"{bucket}{below}/{name}" for name in FOREIGN)


@pytest.mark.parametrize(
    "errors",
    [
        {"rm_file": PermissionError("AccessDenied s3:DeleteObject")},
        {"rm_file": FileNotFoundError("gone")},
        {"rm_file": TimeoutError("slow")},
        {"modified": FileNotFoundError("gone")},
        {"modified": PermissionError("AccessDenied s3:GetObject")},
    ],
    ids=str,
)
def test_a_store_that_lets_nothing_be_removed_still_keeps_checkpoints(
    root: str, all_old: None, failing: Any, errors: dict[str, Exception], caplog: Any
) -> None:
    _pushed(root, 1, OTHER)
    failing(**errors)
    mirror = _pushed(root, 3)
    assert _step(open_mirror(root, MINE)) == 3
    assert "No checkpoint" not in caplog.text
    mirror.remove()
    gone = isinstance(next(iter(errors.values())), FileNotFoundError)
    assert ("could not be removed" in caplog.text) != gone


def test_a_store_that_cannot_be_used_is_a_warning(s3: Any, caplog: Any) -> None:
    assert open_mirror("minio://bucket/state", MINE) is None
    assert "No checkpoints: Expected" in caplog.text
    mirror = CheckpointMirror("s3://no-such-bucket/state", MINE)
    (mirror.folder / CHECKPOINT_FILE).write_bytes(b"x")
    mirror.push()
    assert "No checkpoint could be kept" in caplog.text


def test_a_folder_needs_no_mirror(tmp_path: Any) -> None:
    folder, mirror = open_checkpoints(str(tmp_path), MINE)
    assert folder and folder.parent == tmp_path
    assert mirror is None
    assert open_checkpoints("", MINE) == (None, None)
