"""Records that cross a node's border: JSON files that say of which version they are."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from components.support.errors import DeploymentError
from components.support.texts import shortened

T = TypeVar("T")

UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What reading a record raises that this project did not write, or that was changed since."""

_VERSION = "format_version"


def write_record(path: Path, version: int, fields: Mapping[str, Any]) -> None:
    """Writes a record, making folders as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({_VERSION: version, **fields}, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_record(
    path: Path, version: int, expected: str, from_dict: Callable[[Mapping[str, Any]], T]
) -> T:
    """Reads what `write_record` wrote.

    Args:
        path: the file.
        version: the only version that is understood.
        expected: what the file holds, for messages, such as "the decision of a gate".
        from_dict: makes the record of its fields.

    Raises:
        DeploymentError: there is no such file, or it is of another version.
    """
    with reading(path, f"{expected}, version {version},"):
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields[_VERSION] != version:
            raise ValueError(f"format version {fields[_VERSION]}")
        return from_dict(fields)


@contextlib.contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Turns what reading a record raises into the project's error.

    Args:
        path: the file that is read in the block.
        expected: what the file holds, for messages.

    Raises:
        DeploymentError: the file cannot be read as that.
    """
    try:
        yield
    except UNREADABLE as error:
        received = shortened(f"{type(error).__name__}: {error}")
        raise DeploymentError(
            f"Expected {expected} at {path}. Received: {received}. Run the pipeline again."
        ) from error
