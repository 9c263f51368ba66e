"""Records that cross a node's border: JSON files that say of which version they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from components.support.errors import DeploymentError

T = TypeVar("T")

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
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields[_VERSION] != version:
            raise ValueError(f"format version {fields[_VERSION]}")
        return from_dict(fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeploymentError(
            f"Expected {expected}, version {version}, at {path}. Received: "
            f"{type(error).__name__}: {error}. Run the pipeline again."
        ) from error
