"""Models that tell by which pusher each of their files was written."""

from pathlib import Path

from components.contracts.contents import CONTENTS_FILE, contents_from_json, damage_of
from components.contracts.signatures import ModelDescription, write_model_description

_FILES = ("saved_model.pb", "variables/variables.index", *(f"variables/{i}" for i in range(8)))


def write_marked_model(folder: Path, pusher: int) -> None:
    """Writes files of which each holds the pusher's number."""
    for name in _FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes([pusher]) * (1000 + pusher))
    recipe = f"recipe {pusher}"
    write_model_description(folder, ModelDescription(("pop",), (0.5,), 48, recipe, {}))


def check_marked_model(folder: Path) -> None:
    """Asserts that all files are there, from one pusher, as its list of contents says."""
    found = {name: (folder / name).read_bytes() for name in _FILES}
    assert len(set(found.values())) == 1
    contents = contents_from_json((folder / CONTENTS_FILE).read_text())
    assert damage_of(folder, contents) == ""
