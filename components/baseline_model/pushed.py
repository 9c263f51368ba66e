"""The push destination: one numbered folder for each version that was pushed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from components.errors import DeploymentError
from components.signatures import ModelDescription, read_model_description

SAVED_MODEL_FILE_NAME = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class PushedVersion:
    """One pushed model: its folder and what it says of itself."""

    directory: Path
    description: ModelDescription

    @property
    def version(self) -> int:
        """The version number, which is the folder's name."""
        return int(self.directory.name)


def pushed_versions(destination: Path | str) -> Iterator[PushedVersion]:
    """Yields the pushed versions, newest first; a folder without a complete model is none."""
    root = Path(destination)
    if not root.is_dir():
        return
    numbered = [path for path in root.iterdir() if path.name.isdecimal()]
    for directory in sorted(numbered, key=lambda path: int(path.name), reverse=True):
        if not (directory / SAVED_MODEL_FILE_NAME).is_file():
            continue
        try:
            yield PushedVersion(directory, read_model_description(directory))
        except DeploymentError:
            continue


def find_baseline(
    destination: Path | str, *, recipe: str, genres: tuple[str, ...]
) -> PushedVersion | None:
    """Returns the newest pushed version to compare a candidate with, or None.

    A version of the candidate's own recipe (same data, schema, code and options) is no baseline:
    a model is not compared with itself. Nor is one for other genres: its numbers mean other things.

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
