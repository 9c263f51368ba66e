"""Copies of a training run's checkpoint in an object store, for a pod that is killed.

They are numbered objects below `ROOT/RECIPE/`. An object appears whole or not at all, and the last
two are kept, so that a damaged one costs the work since the one before.
"""

from __future__ import annotations

import datetime
import logging
import tempfile
from pathlib import Path

from components.support.errors import CoversError
from components.support.file_systems import is_url, open_file_system, store_errors
from components.trainer.checkpoints import CHECKPOINT_FILE, read_checkpoint

_SUFFIX = ".npz"
_KEPT = 2
_KEPT_DAYS = 14

_logger = logging.getLogger(__name__)


def open_mirror(root: str, recipe: str) -> CheckpointMirror | None:
    """Returns the mirror of a recipe's checkpoint below `root`, with what an earlier attempt left.

    None if `root` is no URL, or if the store cannot be used, which is a warning.
    """
    if not is_url(root):
        return None
    try:
        mirror = CheckpointMirror(root, recipe[:32])
        mirror.fetch()
        mirror.remove_forgotten()
    except CoversError as error:
        _logger.warning("No checkpoints: %s A killed training run will start over.", error)
        return None
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
        try:
            with store_errors(self.url):
                number = self._number + 1
                target = f"{self._path}/{number:08d}{_SUFFIX}"
                self._file_system.put_file(str(self.folder / CHECKPOINT_FILE), target)
                self._number = number
                for old, copy in self._copies().items():
                    if old <= number - _KEPT:
                        self._file_system.rm_file(copy)
        except CoversError as error:
            _logger.warning("No checkpoint could be kept: %s", error)

    def remove(self) -> None:
        """Removes all copies: training is finished."""
        try:
            for copy in self._copies().values():
                with store_errors(self.url):
                    self._file_system.rm_file(copy)
        except CoversError as error:
            _logger.warning("The checkpoints at %s could not be removed: %s", self.url, error)

    def remove_forgotten(self) -> None:
        """Removes the copies of other recipes that nobody has touched for two weeks."""
        oldest = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=_KEPT_DAYS)
        with store_errors(self._root):
            root = self._path.rpartition("/")[0]
            for name in self._file_system.find(root):
                mine = name.startswith(f"{self._path}/")
                if name.endswith(_SUFFIX) and not mine and self._modified(name) < oldest:
                    _logger.info("Removing %s: not touched for %d days.", name, _KEPT_DAYS)
                    self._file_system.rm_file(name)

    def _modified(self, name: str) -> datetime.datetime:
        changed: datetime.datetime = self._file_system.modified(name)
        return changed if changed.tzinfo else changed.replace(tzinfo=datetime.timezone.utc)

    def _copies(self) -> dict[int, str]:
        with store_errors(self.url):
            self._file_system.invalidate_cache()
            names = [Path(name) for name in self._file_system.find(self._path)]
        return {
            int(name.stem): str(name)
            for name in names
            if name.suffix == _SUFFIX and name.stem.isdecimal()
        }
