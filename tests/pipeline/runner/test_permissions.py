"""Folders that belong to somebody else: root without its right to ignore permissions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_WITHOUT_PRIVILEGES = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search,-fowner",
    "--inh-caps=-all",
]


def _covers(*arguments: str) -> tuple[int, str]:
    prefix = _WITHOUT_PRIVILEGES if os.geteuid() == 0 else []
    ended = subprocess.run(
        [*prefix, str(Path(sys.executable).with_name("covers")), *arguments],
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sample" / "logs").mkdir(parents=True)
    (root / ".lock").touch()
    (root / "metadata.sqlite").touch()
    return root


@pytest.mark.parametrize(
    ("name", "mode", "code"),
    [(".", 0o500, 2), (".lock", 0o400, 2), ("sample/logs", 0o500, 1), ("metadata.sqlite", 0, 1)],
)
def test_a_folder_that_cannot_be_written_is_named(
    root: Path, name: str, mode: int, code: int
) -> None:
    if name == ".":
        (root / ".lock").unlink()
    (root / name).chmod(mode)
    found, seen = _covers("run", "--pipeline-root", str(root))
    assert found == code, seen
    assert str(root / name) in seen
    assert "permission" in seen.lower()


def test_a_history_that_cannot_be_read_is_named(root: Path) -> None:
    (root / "metadata.sqlite").chmod(0)
    for command in ("runs", "report"):
        code, seen = _covers(command, "--pipeline-root", str(root))
        assert code == 1
        assert f"Expected to read the history of runs in {root}/metadata.sqlite" in seen
