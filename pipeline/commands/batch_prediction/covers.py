"""Which covers to ask a model about: files, folders, patterns, manifests and object stores.

Covers are listed one after the other, and nothing keeps a whole list: there may be millions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import os
import posixpath
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.cells import text_of
from components.cover_example_gen.clutter import clutter_file, clutter_folder
from components.cover_example_gen.columns import image_column, names_an_image_column
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.image_names import has_image_suffix
from components.cover_example_gen.locations import URL, AmbiguousName, Locations
from components.cover_example_gen.manifests.kinds import EmbeddedImage, is_manifest, kind_of
from components.support.errors import ConfigError
from components.support.file_systems import is_url, local_copy, open_file_system, store_errors
from components.support.texts import first_few
from pipeline.commands.predict import LARGEST_FILE, accept_image, read_file

MANIFESTS = "manifests"

_FOLDERS_KEPT_OPEN = 64


@dataclasses.dataclass(frozen=True, slots=True)
class CoverFile:
    """One cover to ask about.

    Attributes:
        name: what the answer calls it: its path or URL as given.
        folder: folder or URL in which the file must be; empty if the user named the file itself.
        path: path in the folder, or of the file.
        problem: why there is no file, or empty.
        reason: the reason that goes with the problem.
        encoded: the image, if a manifest holds it and it was not extracted.
    """

    name: str
    folder: str
    path: str
    problem: str = ""
    reason: Reason = Reason.MALFORMED_ROW
    encoded: bytes | None = dataclasses.field(default=None, repr=False)

    def read(self, background: str) -> bytes:
        """Returns the image as the model is to see it.

        Raises:
            RowRejected: ingest would refuse it.
            DeploymentError: an object store refused or failed.
        """
        return accept_image(self.content(), background)

    def content(self) -> bytes:
        """Returns the bytes of the file.

        Raises:
            RowRejected: it cannot be read.
            DeploymentError: an object store refused or failed.
        """
        if self.problem:
            raise RowRejected(self.reason, self.problem)
        if self.encoded is not None:
            _check_size(len(self.encoded))
            return self.encoded
        if not self.folder:
            return read_file(Path(self.path))
        read = _read_object if is_url(self.folder) else _read_file
        return read(self.folder, self.path)


def list_covers(
    given: Sequence[str],
    *,
    column: str | None = None,
    scratch: Path | None = None,
    passed_over: Counter[str] | None = None,
) -> Iterator[CoverFile]:
    """Yields the covers that are given, in the same order each time.

    Args:
        given: image files, folders of them, patterns such as `covers/**/*.jpg`, manifests, or URLs
            of any of these.
        column: the manifests' column of images; by default one with a usual name.
        scratch: existing folder to which images are extracted that a manifest holds; None leaves
            each in memory.
        passed_over: counts files in folders that are no covers, by kind.

    Raises:
        ConfigError: there is nothing at a URL, or no installed package can open it.
        DataError: a manifest cannot be read, or has no column of images.
        DeploymentError: an object store refused or failed.
    """
    counter: Counter[str] = Counter() if passed_over is None else passed_over
    for each in given:
        if is_url(each):
            yield from _remote(each, column, scratch, counter)
        elif Path(each).is_dir():
            yield from _below(Path(each), column, scratch, counter)
        else:
            yield from _files(each, column, scratch)


def no_covers(given: Sequence[str]) -> ConfigError:
    """Returns the error for nothing to ask about."""
    return ConfigError(
        f"Expected image files, folders of them or manifests. Received: no cover in "
        f"{first_few(given)}."
    )


def _files(given: str, column: str | None, scratch: Path | None) -> Iterator[CoverFile]:
    """Yields the file, or those that fit it as a pattern; one that is not there is a problem."""
    is_there = os.path.lexists(given)
    # Path.glob takes no absolute pattern.
    found = [] if is_there else sorted(glob.glob(given, recursive=True))  # noqa: PTH207
    for name in found or [given]:
        is_clutter = any(map(clutter_folder, Path(name).parent.parts)) and name != given
        if is_clutter or (name != given and Path(name).is_dir()):
            continue
        if is_manifest(name) and Path(name).is_file():
            yield from _local_rows(Path(name), column, scratch)
        else:
            yield CoverFile(name, "", name)


def _below(
    root: Path, column: str | None, scratch: Path | None, passed_over: Counter[str]
) -> Iterator[CoverFile]:
    """Yields the images below a folder; if there is none, what its manifests name."""
    unreadable: list[OSError] = []
    manifests: list[Path] = []
    found = False
    for folder, subfolders, files in os.walk(root, onerror=unreadable.append):
        subfolders[:] = sorted(
            name for name in subfolders if not name.startswith(".") and not clutter_folder(name)
        )
        for name in sorted(files):
            file = Path(folder, name)
            if _is_cover(name, passed_over):
                found = True
                yield CoverFile(str(file), str(root), file.relative_to(root).as_posix())
            elif is_manifest(name) and not found and not name.startswith("."):
                manifests.append(file)
        yield from _unlistable(root, unreadable)
    yield from _unlistable(root, unreadable)
    if manifests and not found:
        passed_over.subtract({MANIFESTS: len(manifests)})
        if not passed_over[MANIFESTS]:
            del passed_over[MANIFESTS]
        for manifest in manifests:
            yield from _local_rows(manifest, column, scratch)


def _unlistable(root: Path, errors: list[OSError]) -> Iterator[CoverFile]:
    for error in errors:
        problem = (
            f"Expected a folder that can be listed. Received: {error.strerror}. The covers in it "
            "are unknown."
        )
        yield CoverFile(str(error.filename), str(root), "", problem, Reason.UNREADABLE_FOLDER)
    errors.clear()


def _is_cover(name: str, passed_over: Counter[str]) -> bool:
    if has_image_suffix(name) and not name.startswith("."):
        return True
    if not name.startswith("."):
        kind = clutter_file(name) or (MANIFESTS if is_manifest(name) else "other files")
        passed_over[kind] += 1
    return False


def _local_rows(manifest: Path, column: str | None, scratch: Path | None) -> Iterator[CoverFile]:
    return _rows(manifest, str(manifest.parent), str(manifest), column, scratch)


def _rows(
    manifest: Path, folder: str, name: str, column: str | None, scratch: Path | None
) -> Iterator[CoverFile]:
    """Yields what the rows of a manifest name; paths are relative to `folder`, a path or a URL."""
    table = kind_of(manifest).open(manifest, functools.partial(names_an_image_column, column))
    at = image_column(name, table.columns, column)
    locations = None if is_url(folder) else Locations(Path(folder))
    for record in table.read((at,)):
        value = record.values[0] if record.values else None
        line = f"{name}#{record.line}"
        if record.problem:
            yield CoverFile(line, folder, "", record.problem)
        elif isinstance(value, EmbeddedImage):
            image = value.encoded
            if scratch:
                yield CoverFile(value.name or line, "", _extract(image, scratch))
            else:
                yield CoverFile(value.name or line, "", "", encoded=image)
        else:
            yield _named(text_of(value), line, folder, locations)


def _extract(image: bytes, scratch: Path) -> str:
    with tempfile.NamedTemporaryFile(dir=scratch, delete=False) as file:
        file.write(image)
    return file.name


def _named(path: str, line: str, folder: str, locations: Locations | None) -> CoverFile:
    if not path:
        return CoverFile(line, folder, "", "Expected the path of an image. Received: none.")
    if locations is None:
        if URL.match(path):
            return CoverFile(path, posixpath.dirname(path), posixpath.basename(path))
        return CoverFile(f"{folder}/{path}", folder, path)
    try:
        return CoverFile(path, folder, locations.find(path))
    except AmbiguousName as ambiguous:
        return CoverFile(path, folder, "", str(ambiguous))


def _remote(
    url: str, column: str | None, scratch: Path | None, passed_over: Counter[str]
) -> Iterator[CoverFile]:
    folder, _, name = url.rstrip("/").rpartition("/")
    if glob.has_magic(name):
        yield from _objects(url, folder, passed_over)
    elif is_manifest(name):
        with local_copy(url) as copy:
            yield from _rows(copy, folder, url, column, scratch)
    else:
        file_system, path = open_file_system(url)
        with store_errors(url):
            is_object = file_system.isfile(path)
        if is_object:
            yield CoverFile(url, folder, name)
        else:
            yield from _objects(url, url.rstrip("/"), passed_over)


def _objects(url: str, folder: str, passed_over: Counter[str]) -> Iterator[CoverFile]:
    """Yields the objects below a URL, or those that fit it as a pattern, a folder at a time."""
    file_system, root = open_file_system(folder)
    pattern = url.removeprefix(folder).lstrip("/")
    folders: Iterator[tuple[str, Any, Any]]
    with store_errors(url):
        if pattern:
            matching = file_system.glob(f"{root}/{pattern}")
            folders = iter([(root, [], {posixpath.basename(each): {} for each in matching})])
        else:
            folders = file_system.walk(root)
    found = False
    while True:
        with store_errors(url):
            entry = next(folders, None)
        if entry is None:
            break
        parent, subfolders, files = entry
        if isinstance(subfolders, list):
            subfolders.sort()
        below = parent.removeprefix(root).strip("/")
        found = found or bool(files)
        if any(part.startswith(".") or clutter_folder(part) for part in below.split("/")):
            continue
        for name in sorted(filter(None, files)):
            if _is_cover(name, passed_over):
                path = posixpath.join(below, name)
                yield CoverFile(f"{folder}/{path}", folder, path)
    if not found:
        problem = "Expected a file or folder. Received: nothing there."
        yield CoverFile(url, folder, "", problem, Reason.MISSING_FILE)


@functools.lru_cache(maxsize=_FOLDERS_KEPT_OPEN)
def _directory(folder: str) -> DataDirectory:
    return DataDirectory(Path(folder), LARGEST_FILE)


def _read_file(folder: str, path: str) -> bytes:
    return _directory(folder).read(path)[1]


def _read_object(folder: str, path: str) -> bytes:
    """Reads an object below a URL.

    Raises:
        RowRejected: it is not there, or too large.
        DeploymentError: the store refused or failed.
    """
    url = f"{folder}/{path}"
    if ".." in path.split("/") or path.startswith("/"):
        raise RowRejected(
            Reason.OUTSIDE_DATA_DIRECTORY, f"Expected a path below {folder}. Received: {path}."
        )
    file_system, name = open_file_system(url)
    encoded: bytes | None = None
    with (
        store_errors(url),
        contextlib.suppress(FileNotFoundError),
        file_system.open(name, "rb", cache_type="none") as file,
    ):
        encoded = file.read(LARGEST_FILE + 1)
    if encoded is None:
        raise RowRejected(Reason.MISSING_FILE, "Expected an object. Received: nothing at that URL.")
    _check_size(len(encoded))
    return encoded


def _check_size(size: int) -> None:
    if size > LARGEST_FILE:
        raise RowRejected(
            Reason.FILE_TOO_LARGE, f"Expected at most {LARGEST_FILE:,} bytes. Received: more."
        )
