"""Finds the files that a manifest names by something less than their path.

Names without an ending, such as ids, and names below a folder that the manifest leaves out are
looked for in the whole data directory; a name that two files fit is a problem of its row. Nothing
is opened here.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from components.cover_example_gen.clutter import clutter_folder
from components.cover_example_gen.image_names import has_image_suffix, without_image_suffix

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+")
ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:\\")
"""How URLs and absolute paths begin, on this system or on Windows."""

_MOST_NAMED = 3


class AmbiguousName(Exception):
    """Several files fit a name; the message says which."""


class Locations:
    """The files below a directory, by name.

    Args:
        directory: the data directory.
        names_objects: whether a name may be the URL of an object in a bucket, of which the
            directory holds a copy.
    """

    def __init__(self, directory: Path, *, names_objects: bool = False) -> None:
        self._directory = directory
        self._names_objects = names_objects
        self._names: dict[str, frozenset[str]] = {}

    def find(self, path: str, folder: str = "") -> str:
        """Returns the path of the file that a manifest means; the path itself if there is none.

        Args:
            path: the path or name as given.
            folder: the manifest's folder, relative to the directory, to which paths are relative.

        Raises:
            AmbiguousName: several files fit the name.
        """
        path = posixpath.join(folder, path) if folder and path else path
        if self.is_there(path):
            return path
        if self._names_objects and URL.match(path):
            return self._find_object(path)
        if not path or "\0" in path or ABSOLUTE.match(path) or URL.match(path):
            return path
        spelled = list(spellings(path))
        for each in spelled:
            if self.is_there(each):
                return each
        for each in spelled if self._images else ():
            found = self._below(each, folder)
            if found:
                return found
        return path

    def _find_object(self, url: str) -> str:
        """Tries the path below the bucket, then with ever fewer folders."""
        _, *parts = URL.sub("", url).split("/")
        for start in range(len(parts)):
            found = self._below("/".join(parts[start:]), "")
            if found:
                return found
        return url

    def is_there(self, path: str) -> bool:
        """Tells whether a file or folder of this path is there; links are not followed out."""
        folder, _, name = path.rpartition("/")
        names = self._names.get(folder)
        if names is None:
            names = self._names[folder] = self._list(folder)
        return name in names

    def _list(self, folder: str) -> frozenset[str]:
        if ABSOLUTE.match(folder) or ".." in folder.split("/"):
            return frozenset()
        try:
            with os.scandir(self._directory / folder) as entries:
                return frozenset(entry.name for entry in entries)
        except (OSError, ValueError):
            return frozenset()

    def _below(self, name: str, folder: str) -> str | None:
        """Returns the only image that a name fits, in the folder or deeper; or None."""
        if ".." in name.split("/"):
            return None
        key = without_image_suffix(posixpath.basename(name))
        has_ending = has_image_suffix(name)
        found = [
            path
            for path in self._images.get(key, ())
            if _ends_with(path if has_ending else without_image_suffix(path), name)
            and (not folder or path.startswith(f"{folder}/"))
        ]
        if len(found) > 1:
            listed = ", ".join(found[:_MOST_NAMED])
            more = f" and {len(found) - _MOST_NAMED:,} more" if len(found) > _MOST_NAMED else ""
            raise AmbiguousName(
                f"Expected one image named {posixpath.relpath(name, folder or '.')!r}. "
                f"Received: {listed}{more}. Give its path."
            )
        return found[0] if found else None

    @cached_property
    def _images(self) -> dict[str, list[str]]:
        """File name without its ending -> paths of images, sorted."""
        images: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self._walk()):
            images[without_image_suffix(posixpath.basename(path))].append(path)
        return images

    def _walk(self) -> Iterator[str]:
        for name, folders, files in os.walk(self._directory):
            folders[:] = [
                folder
                for folder in folders
                if not folder.startswith(".") and not clutter_folder(folder)
            ]
            below = Path(name).relative_to(self._directory).as_posix()
            for file in files:
                if not file.startswith(".") and has_image_suffix(file):
                    yield file if below == "." else f"{below}/{file}"


def spellings(path: str) -> Iterator[str]:
    """Yields the ways to write a path: as given, with slashes, plain, in NFC and in NFD."""
    if path.isascii():
        slashed = path.replace("\\", "/")
        yield from dict.fromkeys((path, slashed, _plain(slashed)))
        return
    yield from dict.fromkeys(
        spelled
        for slashed in (path, path.replace("\\", "/"), _plain(path.replace("\\", "/")))
        for spelled in (
            slashed,
            unicodedata.normalize("NFC", slashed),
            unicodedata.normalize("NFD", slashed),
        )
    )


def _plain(path: str) -> str:
    """Leaves out `.` and empty parts, but no `..`, which a symbolic link may make mean else."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _ends_with(path: str, name: str) -> bool:
    return path == name or path.endswith(f"/{name}")
