from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from components.support.errors import DamagedArtifact
from pipeline.runner.database import check_database, metadata_file

_WRITE_UNTIL_KILLED = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size = 1")
connection.execute("CREATE TABLE runs (text)")
connection.executemany("INSERT INTO runs VALUES (?)", [("kept" * 1000,)] * 100)
connection.commit()
connection.execute("UPDATE runs SET text = ?", ("lost" * 1000,))
print("not committed", flush=True)
sys.stdin.read()
"""


def test_no_database_yet_is_fine(tmp_path: Path) -> None:
    check_database(metadata_file(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_had_begun_to_write_is_taken_back(tmp_path: Path) -> None:
    file = metadata_file(tmp_path)
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITE_UNTIL_KILLED, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    assert file.with_name(f"{file.name}-journal").exists()
    check_database(file)
    with sqlite3.connect(file) as connection:
        assert set(connection.execute("SELECT text FROM runs")) == {("kept" * 1000,)}


@pytest.mark.parametrize("content", [b"no database" * 100, bytes(range(256)) * 20, b"SQLite"])
def test_what_is_no_database_is_named_with_the_way_on(tmp_path: Path, content: bytes) -> None:
    metadata_file(tmp_path).write_bytes(content)
    with pytest.raises(DamagedArtifact, match="move it away"):
        check_database(metadata_file(tmp_path))
