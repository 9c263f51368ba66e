"""Looks for newer versions at the push destination and serves the newest that loads."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

from components.contracts.genre_names import listing
from components.contracts.pushed_models import DamagedVersion, PushedVersion, all_versions
from components.contracts.rollbacks import rollbacks_at, withdrawn_recipes
from components.contracts.saved_models import served_version
from components.support.errors import CoversError
from components.support.file_systems import local_copy
from components.support.texts import shortened
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import ModelHolder, ServedModel, load_model

_LONGEST_PAUSE = 300.0
_LONGEST_MESSAGE = 600
_MOST_NAMED = 10

Say = Callable[[str], None]


class Follower:
    """Keeps a holder at the newest version of a destination that can be loaded.

    Where the newest cannot be loaded, older ones are, but for those that a rollback took back.
    A version that cannot be loaded is tried again after twice as long each time, since somebody may
    be copying it by hand; meanwhile the one before stays.

    Args:
        holder: receives the models.
        destination: folder or URL of pushed versions.
        poll_seconds: how often to look.
        metrics: counts loads.
        say: prints a line.
    """

    def __init__(
        self,
        holder: ModelHolder,
        destination: str,
        poll_seconds: float,
        metrics: Metrics,
        say: Say,
    ) -> None:
        self._holder, self._destination = holder, destination
        self._poll_seconds, self._metrics, self._say = poll_seconds, metrics, say
        self._stopping = threading.Event()
        self._pauses: dict[int, tuple[float, float]] = {}  # version -> not before, pause
        self._trouble = ""

    def run(self) -> None:
        """Looks until told to stop."""
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(self._poll_seconds)

    def stop(self) -> None:
        """Lets `run` end after what it is doing."""
        self._stopping.set()

    def look(self) -> None:
        """Looks once, and loads what is newer; what goes wrong is said and counted, not raised."""
        try:
            self._serve_the_newest()
        except Exception as error:  # the destination itself cannot be read; the next look may
            message = _message(error)
            if message != self._trouble:
                self._say(f"cannot look for a newer version: {message}")
            self._trouble = message
            return
        self._trouble = ""

    def _serve_the_newest(self) -> None:
        withdrawn: frozenset[str] | None = None  # read only where the newest does not do
        for place, pushed in enumerate(all_versions(self._destination)):
            number = pushed.version
            current = self._holder.model
            if current and current.version == number:
                return
            if time.monotonic() < self._pauses.get(number, (0.0, 0.0))[0]:
                continue
            if place and isinstance(pushed, PushedVersion):
                if withdrawn is None:
                    withdrawn = withdrawn_recipes(rollbacks_at(self._destination))
                if pushed.description.recipe in withdrawn:
                    continue
            if self._load(pushed, number):
                return
            if self._stopping.is_set():
                return

    def _load(self, pushed: PushedVersion | DamagedVersion, number: int) -> bool:
        begin = time.monotonic()
        try:
            if isinstance(pushed, DamagedVersion):
                raise pushed.error()
            with local_copy(pushed.location) as folder:
                model = load_model(folder, number, pushed.location)
        except Exception as error:  # whatever it is, the version before goes on
            self._fail(number, error)
            return False
        self._metrics.reloads.inc()
        serve(self._holder, model, self._metrics, self._say, time.monotonic() - begin)
        self._pauses.pop(number, None)
        return True

    def _fail(self, number: int, error: Exception) -> None:
        message = _message(error)
        self._metrics.failed_reloads.inc()
        _, pause = self._pauses.get(number, (0.0, self._poll_seconds))
        self._pauses[number] = (time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE))
        if number not in self._holder.failed:
            current = self._holder.model
            goes_on = f"version {current.version} goes on" if current else "nothing is served yet"
            self._say(f"version {number} cannot be served, {goes_on}: {message}")
        self._holder.note_failure(number, message)


def serve(
    holder: ModelHolder, model: ServedModel, metrics: Metrics, say: Say, seconds: float
) -> None:
    """Puts a loaded model to work, says so, and lets go of the one before."""
    before = holder.exchange(model)
    metrics.version.set(model.version)
    was = f" instead of {before.version}" if before else ""
    genres = listing(model.genres, _MOST_NAMED)
    say(f"serves version {model.version}{was}: {genres} (loaded in {seconds:.1f} s)")
    if before and before.genres != model.genres:
        say("note: its genres are not those of the version before")
    del before
    release_memory()


def load_folder(folder: Path) -> ServedModel:
    """Loads the one model of a server that follows no destination.

    Raises:
        DeploymentError: see `load_model`.
    """
    return load_model(folder, served_version(folder), str(folder))


def release_memory() -> None:
    """Frees what a model leaves: cycles of Python objects, and pages that the C library keeps."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):  # another C library than glibc
        return


def _message(error: Exception) -> str:
    text = str(error) if isinstance(error, CoversError) else f"{type(error).__name__}: {error}"
    return shortened(text, _LONGEST_MESSAGE)
