"""The push destination: one numbered folder for each version that was pushed.

A local folder or a URL of an object store; see `components.support.file_systems`.
"""

from __future__ import annotations

import dataclasses
import posixpath
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.contracts.signatures import (
    DESCRIPTION_FILE,
    ModelDescription,
    read_model_description,
)
from components.support.errors import DeploymentError
from components.support.file_systems import is_url, open_file_system, store_errors

SAVED_MODEL_FILE_NAME = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class PushedVersion:
    """One pushed model: its path or URL, and its description."""

    location: str
    description: ModelDescription

    @property
    def version(self) -> int:
        """The version number, which is the folder's name."""
        return int(posixpath.basename(self.location))


def pushed_versions(destination: Path | str) -> Iterator[PushedVersion]:
    """Yields the pushed versions, newest first; folders without a complete model are skipped.

    Raises:
        ConfigError: no installed package can open the destination.
        DeploymentError: the object store refused or failed.
    """
    file_system, root = open_file_system(str(destination))
    with store_errors(str(destination)):
        versions = _version_numbers(file_system, root)
    for version in sorted(versions, reverse=True):
        folder = f"{root}/{version}"
        with store_errors(folder):
            if not file_system.isfile(f"{folder}/{SAVED_MODEL_FILE_NAME}"):
                continue
            try:
                description = _read_description(file_system, folder)
            except (FileNotFoundError, DeploymentError):
                continue
        yield PushedVersion(f"{str(destination).rstrip('/')}/{version}", description)


def find_baseline(
    destination: Path | str, *, recipe: str, genres: tuple[str, ...]
) -> PushedVersion | None:
    """Returns the newest pushed version to compare a candidate with, or None.

    A version of the candidate's own recipe (same data, schema, code and options) is not a
    baseline: a model is not compared with itself. Nor is one for other genres: its metrics mean
    something else.

    Args:
        destination: the push destination.
        recipe: the candidate's recipe.
        genres: the candidate's genres, in order.
    """
    for version in pushed_versions(destination):
        description = version.description
        if description.recipe != recipe and tuple(description.genres) == genres:
            return version
    return None


def push_model(model: Path, destination: str) -> PushedVersion:
    """Copies a SavedModel to the destination as a new version, numbered by the time in seconds.

    Nobody watching the destination ever sees an incomplete model: a local version appears in one
    step, and in an object store `saved_model.pb` comes last.

    Raises:
        DeploymentError: the destination cannot be written.
    """
    file_system, root = open_file_system(destination)
    with store_errors(destination):
        version = max(int(time.time()), *(n + 1 for n in _version_numbers(file_system, root)), 0)
        target = f"{root}/{version}"
        if is_url(destination):
            files = [path for path in model.rglob("*") if path.is_file()]
            for file in sorted(files, key=lambda path: path.name == SAVED_MODEL_FILE_NAME):
                name = file.relative_to(model).as_posix()
                file_system.put_file(str(file), f"{target}/{name}")
        else:
            partial = f"{root}/.{version}.partial"
            file_system.put(f"{model}/", f"{partial}/", recursive=True)
            Path(partial).rename(target)
    return PushedVersion(f"{destination.rstrip('/')}/{version}", read_model_description(model))


def _version_numbers(file_system: Any, root: str) -> list[int]:
    file_system.invalidate_cache()
    try:
        entries = file_system.ls(root, detail=False)
    except FileNotFoundError:
        return []
    names = [posixpath.basename(entry.rstrip("/")) for entry in entries]
    return [int(name) for name in names if name.isdecimal()]


def _read_description(file_system: Any, folder: str) -> ModelDescription:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / DESCRIPTION_FILE
        copy.parent.mkdir(parents=True)
        file_system.get_file(f"{folder}/{DESCRIPTION_FILE}", str(copy))
        return read_model_description(scratch)
