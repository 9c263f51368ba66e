"""The database of ML Metadata in a pipeline root, before ML Metadata opens it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from components.support.errors import DamagedArtifact, MachineError

METADATA_FILE_NAME = "metadata.sqlite"

_BUSY_SECONDS = 30.0


def metadata_file(pipeline_root: Path) -> Path:
    """The SQLite file of a pipeline root."""
    return pipeline_root / METADATA_FILE_NAME


def check_database(file: Path) -> None:
    """Looks whether a database can be opened and is whole; one that does not exist is.

    Raises:
        DamagedArtifact: the file is damaged or no database.
        MachineError: it cannot be opened.
    """
    if not file.exists():
        return
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise MachineError(
            f"Expected to read the history of runs in {file}. Received: {error.strerror}. Change "
            "its owner or permissions, or choose another folder with --pipeline-root."
        ) from error
    # SQLite takes back what a killed process had begun to write, if it may write.
    mode = "rw" if os.access(file, os.W_OK) else "ro"
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", _BUSY_SECONDS, uri=True)
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        raise MachineError(
            f"Expected to open the history of runs in {file}. Received: {error}. Check the disk "
            "and the permissions, and try again."
        ) from error
    except sqlite3.DatabaseError as error:
        found = str(error)
    finally:
        connection.close()
    if found != "ok":
        damage = " ".join(found.split()).removeprefix("*** in database main *** ")
        raise DamagedArtifact(
            f"Expected the history of runs in {file}. Received: {damage}. Restore it from a "
            f"backup, or move it away (mv {file.name} {file.name}.damaged): the next run begins a "
            "new history and makes every stage again; pushed models stay."
        )
