"""Lists rows (image, genre names) of manifests or of one folder per genre.

A row is one item of the input: a record of a manifest, or a file in a genre folder. Rows are only
listed here; images are opened later, but for those that a manifest holds, which become files. Files
and folders whose name starts with a dot are not rows.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from components.contracts.quarantine import QuarantinedRow, Reason, describe_clutter
from components.cover_example_gen.cells import SPLIT_NAMES, is_split_name
from components.cover_example_gen.clutter import (
    EMPTY_FOLDERS,
    LFS_POINTERS,
    clutter_file,
    clutter_folder,
    is_lfs_pointer_file,
)
from components.cover_example_gen.columns import are_recognised, choose_columns, interpret
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.image_names import has_image_suffix
from components.cover_example_gen.layouts import Part, expected_layout, find_parts
from components.cover_example_gen.locations import AmbiguousName, Locations
from components.cover_example_gen.manifests.kinds import EmbeddedImage, Table, kind_of
from components.support.errors import ConfigError, DataError
from components.support.texts import first_few

_ROWS_BETWEEN_REPORTS = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row as given.

    Attributes:
        source: name of the manifest or of the data directory.
        line: 1-based line in the manifest; None for a file in a folder.
        path: the image's path or id as given, relative to the source's directory.
        genres: genre names as given, not yet matched to the schema.
        problem: what is wrong with the row itself, or None.
        listed: whether the genres were given one by one, as in a list: none of them is split.
        split: the split that the data give it (train, eval, test), or None.
        values: name -> value of the columns that the evaluation slices by.
        file: path of the file that the row means, relative to the source's directory, if other
            than `path`.
        extracted: path of the file into which the row's image was extracted; empty if the
            manifest does not hold it.
        unreadable: why the folder at `path` could not be listed; empty for any other row.
    """

    source: str
    line: int | None
    path: str
    genres: tuple[str, ...]
    problem: str | None = None
    listed: bool = False
    split: str | None = None
    values: tuple[tuple[str, str], ...] = ()
    file: str = ""
    extracted: str = ""
    unreadable: str = ""


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        rows: the rows.
        clutter: kind of clutter -> number of files or folders; they are no rows.
    """

    rows: list[Row]
    clutter: Counter[str]


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the rows come from.

    Attributes:
        directory: what image paths are relative to.
        parts: the manifests, or the folders that hold one folder per genre.
        folder: the directory's name below the data directory, for one span of several; or empty.
        config: which columns of the manifests to use.
    """

    directory: Path
    parts: tuple[Part, ...]
    folder: str = ""
    config: IngestConfig = dataclasses.field(default_factory=IngestConfig)

    @property
    def name(self) -> str:
        """The manifest's or directory's own name, below the span's folder if there is one."""
        manifest = self.parts[0].manifest if len(self.parts) == 1 else None
        if self.folder:
            return f"{self.folder}/{manifest.name}" if manifest else self.folder
        return (manifest or self.directory).name

    @property
    def manifests(self) -> tuple[Path, ...]:
        """The manifests, if there are any."""
        return tuple(part.manifest for part in self.parts if part.manifest)

    def rows(self, scratch: Path | None = None) -> list[Row]:
        """Lists the rows; see `listing`."""
        return self.listing(scratch).rows

    def listing(
        self, scratch: Path | None = None, seen: Callable[[int], None] | None = None
    ) -> Listing:
        """Lists the rows in a stable order, by line or by path, and what is none.

        Args:
            scratch: a folder for images that a manifest holds; without it they are left in there.
            seen: is told, now and then, how many rows have been read.

        Raises:
            DataError: a manifest cannot be read as what its name says, or there are no rows.
        """
        clutter: Counter[str] = Counter()
        found: list[Row] = []
        for number, part in enumerate(self.parts):
            if part.manifest:
                folder = scratch / str(number) if scratch else None
                rows = self._manifest_rows(part, part.manifest, folder)
            else:
                rows = self._folder_rows(part, clutter)
            while some := list(itertools.islice(rows, _ROWS_BETWEEN_REPORTS)):
                found += some
                if seen:
                    seen(len(found))
        if not found:
            given = first_few(self.manifests) or str(self.directory)
            beside = f", but {describe_clutter(clutter)}" if clutter else ""
            raise DataError(
                f"Expected covers in {given}. Received: no rows{beside}. {expected_layout()}"
            )
        return Listing(_with_splits(found), clutter)

    def unlisted_files(self, rows: list[Row]) -> list[QuarantinedRow]:
        """Lists image files that no row names, in the folders that rows of the manifest name."""
        if not self.manifests:
            return []
        paths = [row.file or row.path for row in rows if row.path and not row.extracted]
        listed = set(map(os.path.normpath, paths))
        folders = {Path(path).parent for path in listed if not path.startswith(("/", ".."))}
        detail = "Expected a row in the manifest. Received: a file that no row names."
        return [
            QuarantinedRow(self.name, None, path, Reason.UNLISTED_FILE.value, detail)
            for folder in sorted(folders)
            for path in self._image_files(folder)
            if path not in listed
        ]

    def _image_files(self, folder: Path) -> list[str]:
        try:
            with os.scandir(self.directory / folder) as entries:
                names = [entry.name for entry in entries if entry.is_file()]
        except (OSError, ValueError):
            return []
        return sorted(str(folder / name) for name in names if has_image_suffix(name))

    def _manifest_rows(self, part: Part, manifest: Path, scratch: Path | None) -> Iterator[Row]:
        if scratch:
            scratch.mkdir(parents=True, exist_ok=True)
        table = open_table(manifest, self.config)
        columns = choose_columns(manifest, table, self.config.columns, self.config.slices)
        locations = Locations(self.directory, names_objects=table.names_objects)
        name = self.name if len(self.parts) == 1 else _below(self.folder, part.name)
        for record in table.read(columns.positions):
            said = interpret(record, columns)
            path, file, extracted, problem = said.path, "", "", said.problem
            if said.image:
                path = path or f"{manifest.name}#{record.line}"
                extracted = _extract(said.image, scratch, record.line)
            elif not problem:
                try:
                    file = locations.find(path, part.folder)
                except AmbiguousName as ambiguous:
                    problem = str(ambiguous)
                path = f"{part.folder}/{path}" if part.folder and path else path
            yield Row(
                name,
                record.line,
                path,
                said.genres,
                problem,
                said.listed,
                said.split or part.split,
                said.values,
                file if file != path else "",
                extracted,
            )

    def _folder_rows(self, part: Part, clutter: Counter[str]) -> Iterator[Row]:
        """Yields files and what may hide some: unreadable or linked folders, folders like x.jpg."""
        unreadable: list[OSError] = []
        root = self.directory / part.folder
        for name, subfolders, files in os.walk(root, onerror=unreadable.append):
            folder = Path(name)
            clutter.update(_take_out_clutter(subfolders))
            is_row = folder == root or has_image_suffix(folder.name)
            if not files and not subfolders and not is_row:
                clutter[EMPTY_FOLDERS] += 1
            odd = [
                name
                for name in subfolders
                if has_image_suffix(name) or (folder / name).is_symlink()
            ]
            for name in sorted([*files, *odd]):
                if name.startswith("."):
                    continue
                kind = clutter_file(name)
                if not kind and is_lfs_pointer_file(folder / name):
                    kind = LFS_POINTERS
                if kind:
                    clutter[kind] += 1
                else:
                    yield self._folder_row(folder / name, root, part)
        for error in sorted(unreadable, key=lambda error: str(error.filename)):
            row = self._folder_row(Path(error.filename), root, part)
            yield dataclasses.replace(row, unreadable=error.strerror or "an error")

    def _folder_row(self, file: Path, root: Path, part: Part) -> Row:
        below = file.relative_to(root).parts
        path = file.relative_to(self.directory).as_posix()
        genres = below[:1] if len(below) > 1 else ()
        return Row(self.name, None, path, genres, split=part.split)


def find_source(data: Path | str, folder: str = "", config: IngestConfig | None = None) -> Source:
    """Chooses by what is found: a manifest, a folder with one, splits, or one folder per genre.

    Args:
        data: a manifest or a folder.
        folder: the folder's name below the data directory, for one span of several.
        config: which columns of manifests to use.

    Raises:
        ConfigError: `data` does not exist, or holds several manifests of which none is to be taken,
            or slices are to be taken from folders.
    """
    config = config or IngestConfig()
    directory, parts = find_parts(Path(data))
    if config.slices and not all(part.manifest for part in parts):
        raise ConfigError(
            f"Expected a manifest in {data} with the columns {', '.join(config.slices)}, as "
            "ingest.slices says. Received: folders. Leave out ingest.slices, or give a manifest."
        )
    return Source(directory, parts, folder, config)


def open_table(manifest: Path, config: IngestConfig) -> Table:
    """Opens a manifest as the kind that its name says; see `ManifestKind.open`."""

    def recognise(names: Sequence[str]) -> bool:
        return are_recognised(names, config.columns)

    return kind_of(manifest).open(manifest, recognise)


def _take_out_clutter(folders: list[str]) -> list[str]:
    """Leaves hidden folders and clutter out of those to walk; returns the kinds of the latter."""
    kinds = {name: clutter_folder(name) for name in folders if not name.startswith(".")}
    folders[:] = sorted(name for name, kind in kinds.items() if kind is None)
    return [kind for kind in kinds.values() if kind is not None]


def _extract(image: EmbeddedImage, scratch: Path | None, line: int) -> str:
    if scratch is None:
        return ""
    file = scratch / str(line)
    file.write_bytes(image.encoded)
    return str(file)


def _with_splits(rows: list[Row]) -> list[Row]:
    """Takes splits from the folders where nothing else gives them; one split alone is none."""
    if not any(row.split for row in rows):
        rows = _with_splits_of_folders(rows)
    if len({row.split for row in rows if row.split}) < 2:
        return [dataclasses.replace(row, split=None) if row.split else row for row in rows]
    return rows


def _with_splits_of_folders(rows: list[Row]) -> list[Row]:
    tops: set[str] = set()
    for row in rows:
        # What is above the genres was looked at when the parts were found.
        if row.line is None or not (row.problem or is_split_name(top := _top(row))):
            return rows
        if not row.problem:
            tops.add(top)
    if len({SPLIT_NAMES[top.casefold()] for top in tops}) < 2:
        return rows
    return [dataclasses.replace(row, split=SPLIT_NAMES.get(_top(row).casefold())) for row in rows]


def _top(row: Row) -> str:
    path = (row.file or row.path).replace("\\", "/").removeprefix("./")
    return path.partition("/")[0] if "/" in path else ""


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
