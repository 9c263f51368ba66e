"""Deletes pushed versions so that nobody who polls the destination sees one that is incomplete."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import uuid
from pathlib import Path

from components.contracts.files import SAVED_MODEL_FILE
from components.contracts.notes import note_location, note_numbers, remove_note, write_text
from components.contracts.pushed_models import CLAIM_FILE, version_numbers
from components.support.file_systems import is_url, open_file_system, store_errors

_SUFFIX = ".deleted"
_MARKS = ".deleting"
_ABANDONED_AFTER = datetime.timedelta(days=1)


def delete_version(destination: str, version: int) -> None:
    """Deletes a version; a deletion that is killed is finished by `finish_deletions`.

    A local version disappears in one step, by its name. In an object store `saved_model.pb` goes
    first: a version without it is passed over.

    Raises:
        DeploymentError: the object store refused or failed.
        MachineError: the disk or the permissions refused.
    """
    location = f"{destination}/{version}"
    with store_errors(location):
        if is_url(destination):
            write_text(_mark(destination, version), "")
            file_system, folder = open_file_system(location)
            graph = f"{folder}/{SAVED_MODEL_FILE}"
            if file_system.exists(graph):
                file_system.rm_file(graph)
            _finish(destination, version)
        else:
            aside = Path(destination, f".{version}.{uuid.uuid4().hex}{_SUFFIX}")
            with contextlib.suppress(FileNotFoundError):  # somebody else deletes it
                Path(location).rename(aside)
                shutil.rmtree(aside)


def left_over(destination: Path) -> list[Path]:
    """Lists the versions in a local folder whose deletion was killed."""
    return sorted(destination.glob(f".*{_SUFFIX}"))


def abandoned_uploads(destination: str) -> tuple[int, ...]:
    """Lists versions in an object store that nobody sees, as their upload was killed a day ago.

    What has a number for a name and was not uploaded as a version, such as `2024/`, is none.

    Raises:
        DeploymentError: the destination cannot be read.
    """
    if not is_url(destination):
        return ()
    deadline = datetime.datetime.now(datetime.timezone.utc) - _ABANDONED_AFTER
    file_system, root = open_file_system(destination)
    found = []
    for version in sorted(version_numbers(destination)):
        with store_errors(destination):
            if file_system.exists(f"{root}/{version}/{SAVED_MODEL_FILE}"):
                continue
            if not file_system.exists(f"{root}/{version}/{CLAIM_FILE}"):  # not a model's folder
                continue
            written = [file_system.modified(name) for name in file_system.find(f"{root}/{version}")]
        if written and max(written) < deadline:
            found.append(version)
    return tuple(found)


def finish_deletions(destination: str) -> None:
    """Finishes deletions that were killed.

    Raises:
        DeploymentError: the destination cannot be read or written.
    """
    if not is_url(destination):
        for folder in left_over(Path(destination)):
            shutil.rmtree(folder, ignore_errors=True)
        return
    for version in note_numbers(f"{destination}/{_MARKS}"):
        with store_errors(destination):
            _finish(destination, version)


def _finish(destination: str, version: int) -> None:
    """Removes what a version without its graph has left."""
    file_system, folder = open_file_system(f"{destination}/{version}")
    file_system.invalidate_cache()
    if file_system.exists(folder) and not file_system.exists(f"{folder}/{SAVED_MODEL_FILE}"):
        file_system.rm(folder, recursive=True)
    remove_note(_mark(destination, version))


def _mark(destination: str, version: int) -> str:
    return note_location(f"{destination}/{_MARKS}", version)
