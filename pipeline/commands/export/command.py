"""Converts the pushed model, compares the result with it, and only then gives it its name."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.contracts.pushed_models import DamagedVersion, all_versions
from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import (
    PIXELS,
    PROBABILITIES,
    SERVING_SIGNATURE,
    ModelDescription,
)
from components.support.durable import sync_folder, sync_tree
from components.support.errors import ConfigError, DeploymentError
from components.support.file_systems import local_copy
from components.support.texts import first_few
from pipeline.commands.export.formats import FORMATS, convert
from pipeline.commands.export.parity import Parity, compare, read_covers
from pipeline.commands.models.places import Place

_DESCRIPTION_SUFFIX = ".json"
_MOST_NAMED = 5
_PARTIAL = ".partial"
_LEFT_OVER_AFTER = 24 * 3600.0  # seconds


@dataclasses.dataclass(frozen=True)
class Exported:
    """A converted model.

    Attributes:
        model: path or URL of the SavedModel.
        format: one of `FORMATS`.
        file: what was written.
        description: the file beside it that says what it is.
        size: bytes of `file`.
        parity: how close it is to the SavedModel.
    """

    model: str
    format: str
    file: Path
    description: Path
    size: int
    parity: Parity

    def to_dict(self) -> dict[str, Any]:
        """Returns the facts ready for JSON."""
        fields = dataclasses.asdict(self)
        return {**fields, "file": str(self.file), "description": str(self.description)}

    def lines(self) -> Iterator[str]:
        """Yields the facts for people."""
        parity, runtime = self.parity, FORMATS[self.format].runtime
        yield f"model: {self.model}"
        yield f"{self.file}: {self.size / 1e6:.1f} MB; what it is: {self.description}"
        yield (
            f"largest difference of a probability: {parity.largest_difference:.1e}, decisions "
            f"equal, on {parity.covers:,} covers"
        )
        yield (
            f"covers a second, pixels to probabilities: SavedModel "
            f"{parity.saved_model_speed:,.0f}, {runtime} {parity.runtime_speed:,.0f}"
        )


def locate_version(places: Sequence[Place], version: int) -> str:
    """Returns path or URL of a pushed version.

    Args:
        places: where to look.
        version: its number.

    Raises:
        DeploymentError: there is no such version, or it is damaged.
    """
    known = [each for place in places for each in all_versions(place.location)]
    found = next((each for each in known if each.version == version), None)
    if isinstance(found, DamagedVersion):
        raise found.error()
    if found:
        return found.location
    numbers = first_few(sorted((each.version for each in known), reverse=True), _MOST_NAMED)
    raise DeploymentError(
        f"Expected version {version} in {' or '.join(place.location for place in places)}. "
        f"Received: {numbers or 'no version'}. Give one that was pushed."
    )


def export_pushed(
    location: str, format_name: str, output: Path | None, covers: Sequence[Path]
) -> Exported:
    """Converts a model; files appear at `output` only if it answers as the SavedModel does.

    Args:
        location: folder or URL of the SavedModel.
        format_name: one of `FORMATS`.
        output: file to write, replacing an earlier one; None is `covers-VERSION` with the format's
            ending, in the current folder.
        covers: files and folders to compare on; empty for generated pictures.

    Raises:
        ConfigError: packages are missing, the output cannot be written, or there are too few
            covers.
        DeploymentError: the model is none of this project, is damaged, has no signature for
            pixels, cannot be expressed in the format, or answers differently once converted.
    """
    FORMATS[format_name].check()
    name = location.rstrip("/").rpartition("/")[2]
    output = output or Path(f"covers-{name}{FORMATS[format_name].suffix}")
    if output.is_dir() or not output.parent.is_dir():
        raise ConfigError(
            f"Expected --output to be a file in a folder that exists. Received: {output}."
        )
    with local_copy(location) as model_dir, _written_aside(output) as (file, beside):
        model = load_saved_model(model_dir, SERVING_SIGNATURE)
        encoded = read_covers(covers, model.description.background)
        facts = _facts(model.description, name)
        network = convert(format_name, model_dir, model.description, facts, file)
        converted = FORMATS[format_name].load(file)
        parity = compare(model, network, converted, encoded)
        parity.require(FORMATS[format_name].runtime)
        content = file.read_bytes()
        record = {
            "file": output.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "format": format_name,
            **facts,
            "parity": dataclasses.asdict(parity),
        }
        beside.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return Exported(location, format_name, output, _beside(output), len(content), parity)


def _facts(description: ModelDescription, name: str) -> dict[str, Any]:
    """Returns what whoever asks the converted model has to know."""
    side, genres = description.image_size, len(description.genres)
    return {
        "version": name,
        "genres": list(description.genres),
        "thresholds": list(description.thresholds),
        "at_least_one_genre": description.at_least_one_genre,
        "image_size": side,
        "background": description.background,
        "recipe": description.recipe,
        "versions": dict(description.versions),
        "input": {"name": PIXELS, "type": "uint8", "shape": [None, side, side, 3]},
        "output": {"name": PROBABILITIES, "type": "float32", "shape": [None, genres]},
    }


def _beside(file: Path) -> Path:
    return file.with_name(file.name + _DESCRIPTION_SUFFIX)


@contextlib.contextmanager
def _written_aside(output: Path) -> Iterator[tuple[Path, Path]]:
    """Gives two files to write; they get the names of `output` only if nothing is raised.

    The description comes first, so that a model that is there has one; it names the model's
    sha256, which tells whether the two belong together.
    """
    _remove_left_over(output)
    folder = output.parent / f".{output.name}.{uuid.uuid4().hex}{_PARTIAL}"
    file, beside = folder / output.name, _beside(folder / output.name)
    try:
        folder.mkdir()
        yield file, beside
        sync_tree(folder)
        beside.replace(_beside(output))
        file.replace(output)
        sync_folder(output.parent)
    finally:
        for left in (file, beside):
            left.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()


def _remove_left_over(output: Path) -> None:
    """Removes what killed exports to the same file left a day ago or earlier."""
    for folder in output.parent.glob(f".{glob.escape(output.name)}.*{_PARTIAL}"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _LEFT_OVER_AFTER:
                shutil.rmtree(folder)
