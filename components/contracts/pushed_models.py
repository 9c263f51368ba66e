"""The push destination: one numbered folder for each version that was pushed.

A local folder or a URL of an object store; see `components.support.file_systems`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import logging
import os
import posixpath
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from components.contracts.files import SAVED_MODEL_FILE
from components.contracts.signatures import (
    DESCRIPTION_FILE,
    ModelDescription,
    read_model_description,
)
from components.support.durable import sync_folder, sync_tree
from components.support.errors import DeploymentError
from components.support.file_systems import is_url, open_file_system, store_errors
from components.support.texts import shortened

CLAIM_FILE = "assets.extra/claim"

_LARGEST_VERSION = 2**63 - 1  # TensorFlow Serving reads the names of folders as int64
_ATTEMPTS = 100
_PARTIAL = ".partial"
_NO_CONDITIONS = ("NotImplemented", "not implemented")  # of stores that know no If-None-Match

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class PushedVersion:
    """One pushed model: its path or URL, and its description."""

    location: str
    description: ModelDescription

    @property
    def version(self) -> int:
        """The version number, which is the folder's name."""
        return int(posixpath.basename(self.location))


@dataclasses.dataclass(frozen=True)
class DamagedVersion:
    """A version that was pushed and is no longer what it was.

    Attributes:
        location: its path or URL.
        damage: which files are missing or damaged.
        recipe: that of the model; empty if it cannot be read.
    """

    location: str
    damage: str
    recipe: str

    @property
    def version(self) -> int:
        """The version number, which is the folder's name."""
        return int(posixpath.basename(self.location))

    def error(self) -> DeploymentError:
        """Returns the error for a user who needs this version."""
        return DeploymentError(
            f"Expected the pushed model in {self.location} as it was pushed. Received: "
            f"{self.damage}. Restore the folder, delete it and run again, or serve the model "
            "before with: covers rollback"
        )


def all_versions(destination: Path | str) -> Iterator[PushedVersion | DamagedVersion]:
    """Yields the pushed versions, newest first, whether or not they are whole.

    Names that are no version number, empty folders, and what is still being uploaded to an object
    store are passed over.

    Raises:
        ConfigError: no installed package can open the destination.
        DeploymentError: the destination cannot be read.
    """
    file_system, root = open_file_system(str(destination))
    for number in sorted(version_numbers(str(destination)), reverse=True):
        location = f"{str(destination).rstrip('/')}/{number}"
        with store_errors(location):
            version = _examine(file_system, f"{root}/{number}", location)
        if version:
            yield version


def pushed_versions(destination: Path | str) -> Iterator[PushedVersion]:
    """Yields the pushed versions that are whole, newest first; see `all_versions`."""
    for version in all_versions(destination):
        if isinstance(version, PushedVersion):
            yield version


def newest_version(destination: Path | str) -> PushedVersion | None:
    """Returns the version that is served, or None if nothing was pushed.

    Raises:
        ConfigError: no installed package can open the destination.
        DeploymentError: the destination cannot be read, or that version is damaged.
    """
    newest = next(all_versions(destination), None)
    if isinstance(newest, DamagedVersion):
        raise newest.error()
    return newest


def find_baseline(
    destination: Path | str,
    *,
    recipe: str,
    genres: tuple[str, ...],
    withdrawn: Collection[str] = (),
) -> PushedVersion | None:
    """Returns the newest pushed version to compare a candidate with, or None.

    A version of the candidate's own recipe (same data, schema, code and options) is not a
    baseline: a model is not compared with itself. Nor is one for other genres: its metrics mean
    something else. Nor is one that was taken back.

    Args:
        destination: the push destination.
        recipe: the candidate's recipe.
        genres: the candidate's genres, in order.
        withdrawn: the recipes that were taken back, see `components.contracts.rollbacks`.

    Raises:
        DeploymentError: the destination cannot be read, or a version that may be the one to
            compare with is damaged.
    """
    passed_over = {recipe, *withdrawn}
    for version in all_versions(destination):
        if isinstance(version, DamagedVersion):
            if version.recipe not in passed_over:
                raise version.error()
            continue
        description = version.description
        if description.recipe not in passed_over and tuple(description.genres) == genres:
            return version
    return None


def check_destination(destination: Path | str) -> None:
    """Looks whether a candidate could be compared with what is served.

    Raises:
        DeploymentError: the newest version is damaged, and nothing tells what it was.
    """
    newest = next(all_versions(destination), None)
    if isinstance(newest, DamagedVersion) and not newest.recipe:
        raise newest.error()


def next_location(destination: str) -> str:
    """Returns where the next version goes: its number is the time in milliseconds.

    No number comes twice, even if its version has been deleted: caches know a version by it.

    Raises:
        DeploymentError: the destination cannot be read.
    """
    newest = max(version_numbers(destination), default=0)
    now = time.time_ns() // 1_000_000
    if newest >= now:  # from a clock that is ahead of this one
        now = newest + 1 + secrets.randbelow(1000)
    return f"{destination.rstrip('/')}/{now}"


def version_numbers(destination: str) -> set[int]:
    """Returns the numbers of all versions, also of those that are still being uploaded.

    Raises:
        ConfigError: no installed package can open the destination.
        DeploymentError: the destination cannot be read.
    """
    file_system, root = open_file_system(destination)
    with store_errors(destination):
        file_system.invalidate_cache()
        try:
            entries = file_system.ls(root, detail=False)
        except FileNotFoundError:
            return set()
    names = [posixpath.basename(entry.rstrip("/")) for entry in entries]
    numbers = {int(name) for name in names if name.isascii() and name.isdecimal()}
    return {number for number in numbers if 0 < number < _LARGEST_VERSION}


def push_model(
    model: Path,
    destination: str,
    location: str | None = None,
    *,
    check: Callable[[str], None] = lambda location: None,
) -> PushedVersion:
    """Copies a SavedModel to the destination as a new version.

    Nobody watching the destination ever sees an incomplete model: a local version appears in one
    step when all of it is on the disk, and in an object store `saved_model.pb` comes after what it
    needs. Of two who push at the same time, one gets the next version.

    Args:
        model: the folder to copy.
        destination: a folder or URL of pushed versions.
        location: where in the destination, from `next_location`; None asks for the next.
        check: is called with the location at the last moment before the version appears; if it
            raises, nothing appears. No other version appears meanwhile in a local folder.

    Raises:
        DeploymentError: the destination cannot be written.
    """
    push = _upload if is_url(destination) else _copy_in_one_step
    with store_errors(destination):
        for _ in range(_ATTEMPTS):
            location = location or next_location(destination)
            if push(model, location, check):
                return PushedVersion(location, read_model_description(model))
            location = None
    raise DeploymentError(
        f"Expected a version at {destination} that nobody else pushes. Received: {_ATTEMPTS} that "
        "were taken at the same moment. Run again."
    )


def unfinished_pushes(folder: Path) -> list[Path]:
    """Lists what killed pushes left in a local push destination, but not what is being written."""
    return sorted(path for path in folder.glob(f"*{_PARTIAL}") if not _is_being_written(path))


def _is_being_written(partial: Path) -> bool:
    try:
        descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _copy_in_one_step(model: Path, location: str, check: Callable[[str], None]) -> bool:
    """Returns whether the location was free."""
    target = Path(location)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}{_PARTIAL}")
    try:
        partial.mkdir()
        with _locked(partial):  # against whoever removes what is left over
            shutil.copytree(model, partial, dirs_exist_ok=True)
            sync_tree(partial)
            with _locked(target.parent):  # one version at a time appears
                if target.exists():  # an empty folder would be replaced
                    return False
                check(location)
                try:
                    partial.rename(target)
                except OSError as error:
                    if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                        return False
                    raise
        sync_folder(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time into the block, where the file system has locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _upload(model: Path, location: str, check: Callable[[str], None]) -> bool:
    """Returns whether the location was free."""
    file_system, target = open_file_system(location)
    if file_system.exists(target) or not _claim(file_system, target):
        return False
    files = [path for path in model.rglob("*") if path.is_file()]
    # The graph is what a server looks for.
    for file in sorted(files, key=lambda path: path.name == SAVED_MODEL_FILE):
        if file.name == SAVED_MODEL_FILE:
            try:
                check(location)
            except Exception:
                _remove_upload(file_system, target)
                raise
        file_system.put_file(str(file), f"{target}/{file.relative_to(model).as_posix()}")
    return True


def _remove_upload(file_system: Any, target: str) -> None:
    """Removes what nobody sees yet; if the store refuses, the next prune does."""
    try:
        file_system.rm(target, recursive=True)
    except Exception as error:  # each store's package has its own errors
        _logger.warning("The upload to %s was stopped and could not be removed: %s", target, error)


def _claim(file_system: Any, target: str) -> bool:
    """Writes an object that only one of several writers can write; it stays."""
    try:
        file_system.pipe_file(f"{target}/{CLAIM_FILE}", b"", mode="create")
    except FileExistsError:
        return False
    except OSError as error:
        if "PreconditionFailed" in str(error) or "pre-condition" in str(error).lower():
            return False
        if not any(text in str(error) for text in _NO_CONDITIONS):
            raise
        _logger.warning("%s does not keep two writers apart: %s", target, error)
        file_system.pipe_file(f"{target}/{CLAIM_FILE}", b"")
    return True


def _examine(file_system: Any, folder: str, location: str) -> PushedVersion | DamagedVersion | None:
    if not file_system.isdir(folder):
        return None
    prefix = file_system._strip_protocol(folder) + "/"
    names = {name.removeprefix(prefix) for name in file_system.find(folder)}
    is_uploading = is_url(location) and SAVED_MODEL_FILE not in names
    if not names or is_uploading:
        return None
    recipe = ""
    try:
        description = _read_description(file_system, folder)
        recipe = description.recipe
        expected = [SAVED_MODEL_FILE, *description.files]
        damage = next((f"{name} is missing" for name in expected if name not in names), "")
    except FileNotFoundError as error:
        damage = f"a folder without {posixpath.basename(str(error.filename or DESCRIPTION_FILE))}"
    except DeploymentError as error:
        damage = f"a description that cannot be read ({shortened(str(error))})"
    if damage:
        return DamagedVersion(location, damage, recipe)
    return PushedVersion(location, description)


def _read_description(file_system: Any, folder: str) -> ModelDescription:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / DESCRIPTION_FILE
        copy.parent.mkdir(parents=True)
        file_system.get_file(f"{folder}/{DESCRIPTION_FILE}", str(copy))
        return read_model_description(scratch)
