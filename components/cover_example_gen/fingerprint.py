"""Fingerprint of the input's content: the key that makes caching of ingest right."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.cover_example_gen.sources import find_source


def fingerprint_data(data: Path | str) -> str:
    """Returns a hash of the manifest and of each image's path, size and bytes.

    Files that cannot be read count by path alone, so a file that appears or becomes readable
    changes the fingerprint. Time stamps do not count.

    Raises:
        ConfigError: `data` does not exist.
        DataError: there is not a single row.
    """
    source = find_source(data)
    paths = sorted({row.path for row in source.rows()})
    digest = hashlib.sha256()
    if source.manifest:
        digest.update(source.manifest.read_bytes())
    with ThreadPoolExecutor() as pool:
        contents = pool.map(lambda path: _content(source.directory, path), paths)
        for path, content in zip(paths, contents, strict=True):
            digest.update(f"{path}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _content(directory: Path, path: str) -> str:
    try:
        file = directory / path
        if not stat.S_ISREG(file.stat().st_mode):
            return "not a regular file"
        encoded = file.read_bytes()
    except (OSError, ValueError):
        return "unreadable"
    return f"{len(encoded)} {hashlib.sha256(encoded).hexdigest()}"
