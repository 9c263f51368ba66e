"""Fingerprint of the input's content: the key that makes caching of ingest correct."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.contracts.label_schema import LARGEST_FILE
from components.contracts.quarantine import RowRejected
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.remote import fingerprint_remote
from components.cover_example_gen.sources import Source
from components.cover_example_gen.spans import select_spans
from components.support import progress
from components.support.file_systems import fingerprint_file, is_url

_PATHS_PER_TASK = 64


def fingerprint_data(
    data: Path | str,
    config: IngestConfig | None = None,
    *,
    largest_file: int = LARGEST_FILE,
    stage: str = "Fingerprint",
) -> str:
    """Returns a hash of the manifests and of each image's path, size and bytes.

    Images are read as ingest reads them, within the same limits: a file that ingest would refuse
    counts by its path and the reason alone, so one that appears or becomes readable changes the
    fingerprint. Time stamps do not count. The spans before those chosen count too: they fix groups
    and splits. Images in a manifest count as part of it. For data at a URL, all objects count, by
    name, size and checksum.

    Args:
        data: what is to be ingested.
        config: the ingest options.
        largest_file: greatest size of an image's file, bytes, as in the label schema.
        stage: the name under which progress is reported.

    Raises:
        ConfigError: `data` or the chosen spans do not exist.
        DataError: there are no rows, or a manifest cannot be read.
    """
    if is_url(str(data)):
        return fingerprint_remote(str(data))
    digest = hashlib.sha256()
    for span in select_spans(data, config or IngestConfig()).spans:
        digest.update(f"{span.number}\0{span.source.name}\n".encode("utf-8", "surrogatepass"))
        for line in _lines(span.source, largest_file, stage):
            digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _lines(source: Source, largest_file: int, stage: str) -> Iterator[str]:
    """Yields a line for each manifest and each path that a row names."""
    rows = source.listing(seen=lambda rows: progress.report(stage, rows, 0, f"{rows:,} rows read"))
    paths = sorted({row.file or row.path for row in rows.rows})
    for manifest in source.manifests:
        yield f"{manifest.name}\0{_manifest(manifest)}\n"
    directory = DataDirectory(source.directory, largest_file)

    def contents(some: Sequence[str]) -> list[str]:
        found = [_content(directory, path) for path in some]
        progress.advance(stage, len(some))
        return found

    progress.start(stage, len(paths), "files fingerprinted")
    tasks = [paths[at : at + _PATHS_PER_TASK] for at in range(0, len(paths), _PATHS_PER_TASK)]
    with ThreadPoolExecutor() as pool:
        for some, found in zip(tasks, pool.map(contents, tasks), strict=True):
            for path, content in zip(some, found, strict=True):
                yield f"{path}\0{content}\n"


def _content(directory: DataDirectory, path: str) -> str:
    try:
        return directory.digest(path)
    except RowRejected as rejected:
        return rejected.reason.value


def _manifest(manifest: Path) -> str:
    try:
        return fingerprint_file(manifest)
    except OSError:
        return "unreadable"
