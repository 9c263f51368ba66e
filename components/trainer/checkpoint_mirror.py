"""Copies of a training run's checkpoint in an object store, for a pod that is killed.

They are numbered objects, `ROOT/RECIPE/00000001.npz`. An object appears whole or not at all, and
the last two are kept, so that a damaged one costs the work since the one before. `ROOT` may be a
bucket that holds much else: nothing is touched whose name is not one of these.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import posixpath
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from components.support.errors import CoversError
from components.support.file_systems import is_url, open_file_system, store_errors
from components.trainer.checkpoints import (
    CHECKPOINT_FILE,
    FOLDER_NAME,
    checkpoint_folder,
    read_checkpoint,
)

_COPY = re.compile(r"([0-9]{8})\.npz")
_KEPT = 2
_KEPT_DAYS = 14

_logger = logging.getLogger(__name__)


def open_checkpoints(root: str, recipe: str) -> tuple[Path | None, CheckpointMirror | None]:
    """Returns the folder of a recipe's checkpoint, with what an earlier attempt left.

    Args:
        root: a folder that outlives the process, or a URL; empty keeps no checkpoints.
        recipe: of the model.

    Returns:
        The folder, None without a root, or where none can be kept, which is a warning; and what
        copies its checkpoint to the URL, None if `root` is a folder.
    """
    if not is_url(root):
        return checkpoint_folder(root, recipe), None
    mirror = open_mirror(root, recipe)
    return (mirror.folder, mirror) if mirror else (None, None)


def open_mirror(root: str, recipe: str) -> CheckpointMirror | None:
    """Returns the mirror of a recipe's checkpoint below `root`, with what an earlier attempt left.

    None if the store cannot be used, which is a warning.

    Args:
        root: a URL.
        recipe: of the model.
    """
    try:
        mirror = CheckpointMirror(root, recipe[:32])
        mirror.fetch()
    except CoversError as error:
        _logger.warning("No checkpoints: %s A killed training run will start over.", error)
        return None
    mirror.remove_forgotten()
    return mirror


class CheckpointMirror:
    """A folder on this machine whose checkpoint is copied to an object store.

    Attributes:
        folder: where the checkpoint is read and written.
        url: where its copies are.

    Raises:
        ConfigError: no installed package can open the URL.
    """

    def __init__(self, root: str, recipe: str) -> None:
        self._root = root.rstrip("/")
        self.url = f"{self._root}/{recipe}"
        self._file_system, self._path = open_file_system(self.url)
        self._temporary = tempfile.TemporaryDirectory(
            prefix="covers-checkpoints-", ignore_cleanup_errors=True
        )
        self.folder = Path(self._temporary.name)
        self._number = 0

    def fetch(self) -> None:
        """Copies the newest checkpoint that can be read to `folder`.

        Raises:
            DeploymentError: the object store refused or failed.
        """
        copies = self._copies()
        self._number = max(copies, default=0)
        for number in sorted(copies, reverse=True):
            try:
                with store_errors(self.url):
                    self._file_system.get_file(copies[number], str(self.folder / CHECKPOINT_FILE))
            except CoversError as error:  # removed since, by a run that ended
                _logger.warning("The checkpoint %s cannot be read: %s", copies[number], error)
                continue
            if read_checkpoint(self.folder) is not None:
                _logger.info("Training resumes from %s", copies[number])
                return
        (self.folder / CHECKPOINT_FILE).unlink(missing_ok=True)

    def push(self) -> None:
        """Copies the checkpoint in `folder`; a store that fails is a warning."""
        number = self._number + 1
        try:
            with store_errors(self.url):
                target = f"{self._path}/{number:08d}.npz"
                self._file_system.put_file(str(self.folder / CHECKPOINT_FILE), target)
        except CoversError as error:
            _logger.warning("No checkpoint could be kept: %s", error)
            return
        self._number = number
        try:
            for old, copy in self._copies().items():
                if old <= number - _KEPT:
                    self._remove(copy)
        except CoversError as error:
            _logger.warning("Checkpoints before the last two could not be removed: %s", error)

    def remove(self) -> None:
        """Removes all copies: training is finished. A store that fails is a warning."""
        try:
            for copy in self._copies().values():
                self._remove(copy)
        except CoversError as error:
            _logger.warning("The checkpoints at %s could not be removed: %s", self.url, error)

    def remove_forgotten(self) -> None:
        """Removes the copies of other recipes that nobody has touched for two weeks.

        A store that fails is a warning.
        """
        oldest = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=_KEPT_DAYS)
        try:
            for copy in self._copies_of_others():
                with store_errors(self._root), contextlib.suppress(FileNotFoundError):
                    if self._modified(copy) < oldest:
                        _logger.info("Removing %s: not touched for %d days.", copy, _KEPT_DAYS)
                        self._remove(copy)
        except CoversError as error:
            _logger.warning(
                "Forgotten checkpoints at %s could not be removed: %s", self._root, error
            )

    def _remove(self, copy: str) -> None:
        """Removes an object, which another training run may have removed before."""
        with store_errors(self._root), contextlib.suppress(FileNotFoundError):
            self._file_system.rm_file(copy)

    def _modified(self, name: str) -> datetime.datetime:
        changed: datetime.datetime = self._file_system.modified(name)
        return changed if changed.tzinfo else changed.replace(tzinfo=datetime.timezone.utc)

    def _copies(self) -> dict[int, str]:
        self._file_system.invalidate_cache()
        return dict(self._numbered(self._path))

    def _copies_of_others(self) -> Iterator[str]:
        for folder in self._names(posixpath.dirname(self._path)):
            if FOLDER_NAME.fullmatch(posixpath.basename(folder)) and folder != self._path:
                for _, copy in self._numbered(folder):
                    yield copy

    def _numbered(self, folder: str) -> Iterator[tuple[int, str]]:
        for name in self._names(folder):
            found = _COPY.fullmatch(posixpath.basename(name))
            if found:
                yield int(found[1]), name

    def _names(self, folder: str) -> list[str]:
        with store_errors(self.url):
            try:
                entries = self._file_system.ls(folder, detail=False)
            except FileNotFoundError:
                return []
        return [str(entry).rstrip("/") for entry in entries]
