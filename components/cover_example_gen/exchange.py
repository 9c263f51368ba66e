"""Files through which the workers of an ingest exchange what Beam would only carry."""

from __future__ import annotations

import contextlib
import pickle
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def whole_file(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Gives a path to write to, in a folder where nobody looks for it, and renames it at the end.

    Whoever reads never finds a part of a file, even if two workers write it at the same time.
    """
    # NumPy adds its own ending to any other.
    ending = path.suffix if path.suffix == ".npy" else ""
    partial = (folder or path.parent) / f"{uuid.uuid4().hex}.partial{ending}"
    yield partial
    partial.replace(path)


def save(value: object, path: Path) -> None:
    """Pickles a value into a file."""
    with whole_file(path) as partial:
        partial.write_bytes(pickle.dumps(value))


def save_array(value: np.ndarray[Any, Any], path: Path) -> None:
    """Writes an array to a file of NumPy's."""
    with whole_file(path) as partial:
        np.save(partial, value)


def load(path: Path) -> Any:
    """Returns what `save` saved."""
    return pickle.loads(path.read_bytes())
