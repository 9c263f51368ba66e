"""Exported models as files: digests that tell damage, and a loader that says what is wrong.

A SavedModel is code: its graph runs with the rights of whoever loads it. The digests tell a damaged
model from a whole one, not a trustworthy model from another.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.contracts.files import SAVED_MODEL_FILE
from components.contracts.signatures import (
    DESCRIPTION_FILE,
    ModelDescription,
    read_model_description,
)
from components.support.errors import CoversError, DeploymentError
from components.support.file_systems import fingerprint_file
from components.support.texts import shortened

_BESIDE = DESCRIPTION_FILE.partition("/")[0]


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model that can be asked.

    Attributes:
        description: what it is.
        ask: takes the inputs of the signature by name, and returns its outputs as arrays by name;
            raises DeploymentError.
    """

    description: ModelDescription
    ask: Callable[..., Mapping[str, Any]]


def file_digests(model_dir: Path | str) -> dict[str, str]:
    """Returns file -> sha256 of what `tf.saved_model.save` wrote to a folder."""
    folder = Path(model_dir)
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {
        file.as_posix(): fingerprint_file(folder / file)
        for file in sorted(files)
        if file.parts[0] != _BESIDE
    }


def served_version(model_dir: Path) -> int:
    """Returns the version as which a folder is served: its name if that is a number, else 1."""
    name = model_dir.resolve().name
    return int(name) if name.isascii() and name.isdecimal() and int(name) > 0 else 1


def load_saved_model(model_dir: Path, signature: str) -> LoadedModel:
    """Loads one signature of a model of this project.

    Args:
        model_dir: the folder of the model.
        signature: name of the signature.

    Raises:
        DeploymentError: the folder holds no model of this project, or a damaged one.
    """
    found = load_signatures(model_dir)
    if signature not in found:
        raise _damaged(model_dir, f"a model without the signature {signature}")
    return found[signature]


def load_signatures(model_dir: Path) -> dict[str, LoadedModel]:
    """Loads a model of this project, and returns its signatures by name.

    Raises:
        DeploymentError: the folder holds no model of this project, or a damaged one.
    """
    description = read_model_description(model_dir)
    check_files(model_dir, description.files)
    import tensorflow as tf

    with _model_errors(model_dir):
        # The module owns what the functions use, and must live as long.
        module = tf.saved_model.load(str(model_dir))
        functions = dict(module.signatures)

    def asked(function: Callable[..., Any]) -> Callable[..., Mapping[str, Any]]:
        def ask(**inputs: Any) -> Mapping[str, Any]:
            with _model_errors(model_dir):
                assert module is not None
                given = {name: tf.constant(value) for name, value in inputs.items()}
                return {name: found.numpy() for name, found in function(**given).items()}

        return ask

    return {name: LoadedModel(description, asked(each)) for name, each in functions.items()}


def check_files(model_dir: Path, expected: Mapping[str, str]) -> None:
    """Raises if a file of a model is absent or not what was exported; see `find_damage`.

    Raises:
        DeploymentError: names the first such file.
    """
    damage = find_damage(model_dir, expected)
    if damage:
        raise _damaged(model_dir, damage)


def find_damage(model_dir: Path, expected: Mapping[str, str]) -> str:
    """Returns which file of a model is absent or not what was exported, or an empty text.

    Args:
        model_dir: the folder of the model.
        expected: file -> sha256; files that are not named are not looked at.
    """
    for name, digest in expected.items():
        is_inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        if not is_inside or not (model_dir / name).is_file():
            return f"{shortened(name)} is missing"
        try:
            found = fingerprint_file(model_dir / name)
        except OSError as error:
            return f"{name} cannot be read, {error.strerror}"
        if found != digest:
            return f"{name} is not the file that was exported"
    return ""


@contextlib.contextmanager
def _model_errors(model_dir: Path) -> Iterator[None]:
    try:
        yield
    except CoversError:
        raise
    except Exception as error:  # whatever TensorFlow makes of bytes that are no model
        first, *_ = str(error).strip().splitlines() or ["no message"]
        raise _damaged(model_dir, shortened(f"{type(error).__name__}, {first}")) from error


def _damaged(model_dir: Path, received: str) -> DeploymentError:
    return DeploymentError(
        f"Expected an undamaged model in {model_dir}, the folder of {SAVED_MODEL_FILE}. Received: "
        f"{received}. Copy or export it again, or take another version."
    )
