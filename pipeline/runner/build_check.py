"""Fails before a run, and not in it, on a network that cannot be built or trained."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path

from pipeline.config import PipelineConfig
from pipeline.runner.training_options import training_options

_LIBRARIES = ("keras", "keras-hub", "numpy", "tensorflow")


def check_buildable_once(config: PipelineConfig, num_genres: int, passed: Path | None) -> None:
    """Builds the network and trains it on one batch, unless this very one has passed before.

    To build it takes TensorFlow and some seconds, which a run that trains nothing has no use for.

    Args:
        config: what the pipeline does.
        num_genres: the number of genres.
        passed: a folder with an empty file for each that passed; None checks it in any case.

    Raises:
        ConfigError: the configuration cannot be built or trained.
    """
    record = passed / _digest(config, num_genres) if passed else None
    if record and record.is_file():
        return
    from components.trainer.model import check_buildable

    check_buildable(config.trainer, num_genres)
    if record:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.touch()


def _digest(config: PipelineConfig, num_genres: int) -> str:
    """Returns a hash of all that the check depends on: options, code, genres and libraries."""
    versions = {library: _version(library) for library in _LIBRARIES}
    facts = [training_options(config), num_genres, platform.python_version(), versions]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # an extra
        return None
