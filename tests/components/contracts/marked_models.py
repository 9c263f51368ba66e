"""Models that tell by which pusher each of their files was written."""

from pathlib import Path

from components.contracts.saved_models import check_files, file_digests
from components.contracts.signatures import (
    ModelDescription,
    read_model_description,
    write_model_description,
)

_FILES = ("saved_model.pb", "variables/variables.index", *(f"variables/{i}" for i in range(8)))


def write_marked_model(folder: Path, pusher: int) -> None:
    """Writes files of which each holds the pusher's number."""
    for name in _FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes([pusher]) * (1000 + pusher))
    recipe = f"recipe {pusher}"
    description = ModelDescription(("pop",), (0.5,), 48, recipe, {}, files=file_digests(folder))
    write_model_description(folder, description)


def check_marked_model(folder: Path) -> None:
    """Asserts that all files are there, from one pusher, as the description says."""
    found = {name: (folder / name).read_bytes() for name in _FILES}
    assert len(set(found.values())) == 1
    check_files(folder, read_model_description(folder).files)
