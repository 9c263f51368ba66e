"""Records that are arrays: NumPy's npz files."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from components.contracts.records import reading


@contextlib.contextmanager
def reading_arrays(path: Path, expected: str) -> Iterator[Mapping[str, np.ndarray]]:
    """Opens a file of arrays, and turns what reading it raises into the project's error.

    Args:
        path: the file.
        expected: what it holds, for messages.

    Raises:
        DeploymentError: the file cannot be read as that.
    """
    with reading(path, expected):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                yield stored
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise ValueError(str(error)) from error
