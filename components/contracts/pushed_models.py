"""The push destination: one numbered folder for each version that was pushed.

A local folder or a URL of an object store; see `components.support.file_systems`.
"""

from __future__ import annotations

import dataclasses
import posixpath
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.contracts.files import SAVED_MODEL_FILE
from components.contracts.signatures import (
    DESCRIPTION_FILE,
    ModelDescription,
    read_model_description,
)
from components.support.errors import DeploymentError
from components.support.file_systems import is_url, open_file_system, store_errors


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
            if not file_system.isfile(f"{folder}/{SAVED_MODEL_FILE}"):
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


def next_location(destination: str) -> str:
    """Returns where the next version goes: its number is the time in milliseconds.

    No number comes twice, even if its version has been deleted: caches know a version by it.

    Raises:
        DeploymentError: the destination cannot be read.
    """
    file_system, root = open_file_system(destination)
    with store_errors(destination):
        newest = max(_version_numbers(file_system, root), default=0)
    now = time.time_ns() // 1_000_000
    if newest >= now:  # from a clock that is ahead of this one
        now = newest + 1 + secrets.randbelow(1000)
    return f"{destination.rstrip('/')}/{now}"


def push_model(model: Path, destination: str, location: str | None = None) -> PushedVersion:
    """Copies a SavedModel to the destination as a new version.

    Nobody watching the destination ever sees an incomplete model: a local version appears in one
    step, and in an object store `saved_model.pb` comes last.

    Args:
        model: the folder to copy.
        destination: a folder or URL of pushed versions.
        location: where in the destination, from `next_location`; None asks for the next.

    Raises:
        DeploymentError: the destination cannot be written, or the location was taken meanwhile.
    """
    location = location or next_location(destination)
    file_system, target = open_file_system(location)
    with store_errors(destination):
        if file_system.exists(target):
            raise DeploymentError(
                f"Expected nothing at {location} yet. Received: a version that another run pushed "
                "at the same time. Run again."
            )
        if is_url(location):
            files = [path for path in model.rglob("*") if path.is_file()]
            for file in sorted(files, key=lambda path: path.name == SAVED_MODEL_FILE):
                name = file.relative_to(model).as_posix()
                file_system.put_file(str(file), f"{target}/{name}")
        else:
            _copy_in_one_step(model, Path(target))
    return PushedVersion(location, read_model_description(model))


def _copy_in_one_step(model: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        shutil.copytree(model, partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
