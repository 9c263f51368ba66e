"""The kinds of manifest that ingest reads: the modules of this package that define `KIND`."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.cover_example_gen import manifests

NAMED_FIRST = ("labels", "metadata")
"""Names, without their endings, of the manifest to take where a folder holds several."""


class Record(NamedTuple):
    """One record of a manifest.

    Attributes:
        line: 1-based line on which it begins, or number of the record in a file without lines.
        values: what it holds, in the order of the columns asked for: text, a number, a truth
            value, a list of these, an `EmbeddedImage`, or None. Empty if there is a problem.
        problem: what is wrong with the record itself, or None.
    """

    line: int
    values: tuple[Any, ...]
    problem: str | None = None


@dataclasses.dataclass(frozen=True)
class EmbeddedImage:
    """An image that a manifest holds; `name` is that of its file, or empty."""

    name: str
    encoded: bytes


@dataclasses.dataclass(frozen=True)
class Table:
    """A manifest, opened.

    Attributes:
        columns: names of the columns as given.
        read: yields the records, with the values of the columns at these positions.
        names_objects: whether images are named by URLs of objects in a bucket, as Vertex AI does;
            their names below the bucket are looked for in the data directory.
    """

    columns: tuple[str, ...]
    read: Callable[[Sequence[int]], Iterator[Record]]
    names_objects: bool = False


Recognise = Callable[[Sequence[str]], bool]
"""Tells whether column names are those that are needed; for kinds that can be parsed in ways."""


@dataclasses.dataclass(frozen=True)
class ManifestKind:
    """One kind of manifest.

    Attributes:
        suffixes: endings of file names, in lower case, such as `.csv`.
        expected: what such a file holds, for messages.
        open: opens a file; raises DataError if it is not of this kind.
    """

    suffixes: tuple[str, ...]
    expected: str
    open: Callable[[Path, Recognise], Table]


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
        names = [
            entry.name
            for entry in entries
            if is_manifest(entry.name) and not entry.name.startswith(".") and entry.is_file()
        ]
    return [folder / name for name in sorted(names)]


def kind_of(manifest: Path) -> ManifestKind:
    """Returns the kind of a manifest; a file with any other ending is read as CSV."""
    name = manifest.name.casefold()
    named = [kind for kind in kinds() if name.endswith(kind.suffixes)]
    return named[0] if named else next(kind for kind in kinds() if ".csv" in kind.suffixes)


def expected_manifests() -> str:
    """Returns what a manifest may be, for messages."""
    *others, last = (kind.expected for kind in kinds())
    return f"{', '.join(others)} or {last}"
