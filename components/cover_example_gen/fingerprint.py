"""Fingerprint of the input's content: the key that makes caching of ingest correct."""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.remote import fingerprint_remote
from components.cover_example_gen.sources import Source
from components.cover_example_gen.spans import select_spans
from components.support.file_systems import is_url

_CHUNK = 1 << 20


def fingerprint_data(data: Path | str, config: IngestConfig | None = None) -> str:
    """Returns a hash of the manifests and of each image's path, size and bytes.

    Files that cannot be read count by path alone, so a file that appears or becomes readable
    changes the fingerprint. Time stamps do not count. The spans before those chosen count too:
    they fix groups and splits. Images in a manifest count as
    part of it. For data at a URL, all objects count, by name, size and checksum.

    Raises:
        ConfigError: `data` or the chosen spans do not exist.
        DataError: there are no rows.
    """
    if is_url(str(data)):
        return fingerprint_remote(str(data))
    digest = hashlib.sha256()
    for span in select_spans(data, config or IngestConfig()).spans:
        digest.update(f"{span.number}\0{span.source.name}\n".encode("utf-8", "surrogateescape"))
        _add_source(digest, span.source)
    return digest.hexdigest()


def _add_source(digest: hashlib._Hash, source: Source) -> None:
    paths = sorted({row.file or row.path for row in source.rows()})
    for manifest in source.manifests:
        digest.update(f"{manifest.name}\0{_content(manifest)}\n".encode("utf-8", "surrogateescape"))
    with ThreadPoolExecutor() as pool:
        contents = pool.map(lambda path: _content(source.directory / path), paths)
        for path, content in zip(paths, contents, strict=True):
            digest.update(f"{path}\0{content}\n".encode("utf-8", "surrogateescape"))


def _content(file: Path) -> str:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return "unreadable"
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        digest = hashlib.sha256()
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
        return f"{status.st_size} {digest.hexdigest()}"
    except OSError:
        return "unreadable"
    finally:
        os.close(descriptor)
