"""The kinds of manifest that ingest reads: the modules of this package that define `KIND`."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

from components.cover_example_gen import manifests

LABELS = "labels"
"""Name, without its ending, of the manifest to take where a folder holds several."""


@dataclasses.dataclass(frozen=True)
class ManifestRow:
    """One record of a manifest.

    Attributes:
        line: 1-based line on which it begins.
        path: the image's path as given.
        genres: genre names as given, one by one.
        problem: what is wrong with the row itself, or None.
    """

    line: int
    path: str
    genres: tuple[str, ...]
    problem: str | None = None


@dataclasses.dataclass(frozen=True)
class ManifestKind:
    """One kind of manifest.

    Attributes:
        suffixes: endings of file names, in lower case, such as `.csv`.
        expected: what such a file holds, for messages.
        read: yields the rows of a file in order; raises DataError if it is not of this kind.
    """

    suffixes: tuple[str, ...]
    expected: str
    read: Callable[[Path], Iterator[ManifestRow]]


@functools.cache
def kinds() -> tuple[ManifestKind, ...]:
    """Returns every kind, by the names of their modules."""
    names = sorted(module.name for module in pkgutil.iter_modules(manifests.__path__))
    modules = [importlib.import_module(f"{manifests.__name__}.{name}") for name in names]
    return tuple(module.KIND for module in modules if hasattr(module, "KIND"))


@functools.cache
def suffixes() -> tuple[str, ...]:
    """Returns the endings of all kinds."""
    return tuple(suffix for kind in kinds() for suffix in kind.suffixes)


def is_manifest(name: str) -> bool:
    """Tells whether a file of this name is a manifest; the case of its ending does not matter."""
    return name.casefold().endswith(suffixes())


def manifests_in(folder: Path) -> list[Path]:
    """Lists the manifests directly in a folder, by name; there may be many other files."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_manifest(entry.name) and entry.is_file()]
    return [folder / name for name in sorted(names)]


def kind_of(manifest: Path) -> ManifestKind:
    """Returns the kind of a manifest; a file with any other ending is read as CSV."""
    name = manifest.name.casefold()
    named = [kind for kind in kinds() if name.endswith(kind.suffixes)]
    return named[0] if named else next(kind for kind in kinds() if ".csv" in kind.suffixes)


def expected_manifests() -> str:
    """Returns what a manifest may be, for messages."""
    return " or ".join(kind.expected for kind in kinds())
