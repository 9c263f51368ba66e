from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components.contracts.contents import FileContent
from components.contracts.examples_account import (
    ACCOUNT_FILE,
    WrittenShard,
    check_split,
    write_account,
)
from components.support.errors import DamagedArtifact
from components.support.file_systems import fingerprint_file


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    shards = []
    for split, name, examples in (("train", "a", 2), ("train", "b", 3), ("test", "a", 1)):
        file = tmp_path / f"Split-{split}" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{split} {name}")
        content = FileContent(file.stat().st_size, fingerprint_file(file))
        shards.append(WrittenShard(split, name, content, examples))
    (tmp_path / "Split-eval").mkdir()
    write_account(tmp_path, shards)
    return tmp_path


def test_whole_splits_have_the_examples_that_were_written(artifact: Path) -> None:
    assert [check_split(artifact, split) for split in ("train", "eval", "test")] == [5, 0, 1]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one shard less": lambda artifact: (artifact / "Split-train" / "b").unlink(),
    "one shard more": lambda artifact: (artifact / "Split-train" / "c").write_text("more"),
    "a shard of another run": lambda artifact: (artifact / "Split-train" / "b").write_text(
        "train c"
    ),
    "a cut shard": lambda artifact: (artifact / "Split-train" / "b").write_text("tra"),
    "no split": lambda artifact: (artifact / "Split-train").rename(artifact / "Split-gone"),
    "a broken account": lambda artifact: (artifact / ACCOUNT_FILE).write_text("{"),
    "an account of something else": lambda artifact: (artifact / ACCOUNT_FILE).write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(artifact: Path, damage: str) -> None:
    DAMAGES[damage](artifact)
    with pytest.raises(DamagedArtifact, match="Run again"):
        check_split(artifact, "train")


def test_examples_of_others_have_no_account(artifact: Path) -> None:
    (artifact / ACCOUNT_FILE).unlink()
    assert check_split(artifact, "train") is None
