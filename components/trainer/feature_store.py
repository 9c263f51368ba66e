"""Features of covers, kept across training runs, in files; without TensorFlow.

A store is one folder of segments. A segment holds the features of up to a few hundred covers of one
set: `<set>-<random>.npz`, an archive with checksums that is written under another name and then
renamed. So a kill leaves only whole segments behind, and several training runs can share a store
without coordination; at worst, two of them keep the same features.

A set is named by a hash of everything that the features depend on except the cover, and a cover by
the hash of its bytes. So nothing in a store is ever out of date. When it is full, the least
recently used segments are removed. Files of other names, in a folder that the user has chosen, are
left alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SUFFIX = ".npz"
_PARTIAL_SUFFIX = ".partial"
_PARTIAL_IS_LEFT_OVER_AFTER = 3600.0
_COVERS_IN_A_SEGMENT = 256
_BYTES_IN_A_SEGMENT = 64 << 20
_NAME_LENGTH = 32
_SEGMENT = re.compile(rf"[0-9a-f]{{32}}-[0-9a-f]{{32}}{re.escape(SUFFIX)}")
_PARTIAL_SEGMENT = re.compile(_SEGMENT.pattern + re.escape(_PARTIAL_SUFFIX))
_OVERHEAD = 1024  # of an archive, above its arrays

_logger = logging.getLogger(__name__)


class FeatureStore:
    """One training run's view of the features in a folder.

    Args:
        folder: exists.
        limit: bytes that all segments together may take up. Segments that this training run has
            read or written are never removed to stay below it.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder = folder
        self.limit = limit
        self._in_use: set[Path] = set()
        self._is_full = False
        self._remove_left_over()

    def read(self, key: str, ids: Sequence[str], features: np.ndarray) -> np.ndarray:
        """Fills in the features of a set that are kept.

        Args:
            key: hash that names the set.
            ids: hashes of the covers.
            features: float32, shape (len(ids), ...): receives the features of the covers found.

        Returns:
            int64, shape (missing,), ascending: the rows of `features` for which none were found.
        """
        missing = set(range(len(ids)))
        for path in self._files(_SEGMENT):
            if not path.name.startswith(f"{key[:_NAME_LENGTH]}-"):
                continue
            if not missing:
                break
            try:
                missing -= self._read_segment(path, ids, sorted(missing), features)
            except FileNotFoundError:  # Another training run needed the space.
                continue
            except PermissionError as error:
                _logger.warning("The features in %s cannot be read: %s", path, error)
            except Exception as error:  # A damaged archive raises errors of many types.
                _logger.warning("Removing the damaged file %s: %s", path, error)
                _remove(path)
        self._make_room(0)
        return np.array(sorted(missing), np.int64)

    def write(self, key: str, ids: Sequence[str], features: np.ndarray) -> None:
        """Keeps the features of some covers, in one segment.

        If the disk or the store is full, a warning says so once, and training continues.

        Args:
            key: hash that names the set.
            ids: hashes of the covers.
            features: float32, shape (len(ids), ...).
        """
        if self._is_full:
            return
        arrays: dict[str, Any] = {"ids": np.array(ids, np.bytes_), "features": features}
        segment = self.folder / f"{key[:_NAME_LENGTH]}-{uuid.uuid4().hex}{SUFFIX}"
        partial = segment.with_name(segment.name + _PARTIAL_SUFFIX)
        try:
            if not self._make_room(_OVERHEAD + sum(each.nbytes for each in arrays.values())):
                self._stop(f"this training run needs more than {self.limit / 1e9:.3g} GB")
                return
            with partial.open("wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(segment)
            self._in_use.add(segment)
        except OSError as error:
            _remove(partial)
            self._stop(str(error))

    def _read_segment(
        self, path: Path, ids: Sequence[str], rows: Sequence[int], features: np.ndarray
    ) -> set[int]:
        """Copies the rows that the segment has, and returns them."""
        with np.load(path, allow_pickle=False) as segment:
            places = {name.decode(): place for place, name in enumerate(segment["ids"].tolist())}
            found = [row for row in rows if ids[row] in places]
            if not found:
                return set()
            kept = segment["features"]
        shape = (len(places), *features.shape[1:])
        if kept.shape != shape or kept.dtype != features.dtype:
            raise ValueError(
                f"Expected features {shape} {features.dtype}. Received: {kept.shape} {kept.dtype}."
            )
        features[found] = kept[[places[ids[row]] for row in found]]
        with contextlib.suppress(OSError):  # The folder may be read-only.
            os.utime(path)
        self._in_use.add(path)
        return set(found)

    def _make_room(self, needed: int) -> bool:
        """Removes the least recently used segments until `needed` bytes fit; returns if they do."""
        segments = []
        for path in self._files(_SEGMENT):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            segments.append((facts.st_mtime_ns, facts.st_size, path))
        taken = needed + sum(size for _, size, _ in segments)
        for _, size, path in sorted(segments):
            if taken <= self.limit:
                break
            if path not in self._in_use and _remove(path):
                taken -= size
        return taken <= self.limit

    def _files(self, name: re.Pattern[str]) -> list[Path]:
        """Returns the store's own files, in order."""
        return sorted(path for path in self.folder.glob("*") if name.fullmatch(path.name))

    def _stop(self, reason: str) -> None:
        self._is_full = True
        _logger.warning("No more features can be kept in %s: %s.", self.folder, reason)

    def _remove_left_over(self) -> None:
        oldest = time.time() - _PARTIAL_IS_LEFT_OVER_AFTER
        for path in self._files(_PARTIAL_SEGMENT):
            try:
                if path.stat().st_mtime < oldest:
                    _remove(path)
            except FileNotFoundError:
                continue


def covers_in_a_segment(features: np.ndarray) -> int:
    """Returns how many covers to write at a time: few enough that a kill loses little.

    Args:
        features: shape (covers, ...), of at least one cover.
    """
    return max(1, min(_COVERS_IN_A_SEGMENT, _BYTES_IN_A_SEGMENT // features[0].nbytes))


def _remove(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # The folder may be read-only.
        return False
    return True
