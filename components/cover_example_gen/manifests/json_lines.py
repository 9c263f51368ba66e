"""Reads JSON Lines (https://jsonlines.org): one object a line, such as a `metadata.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.cover_example_gen.manifests.kinds import ManifestKind, Recognise, Record, Table
from components.cover_example_gen.manifests.text_lines import open_lines
from components.support.errors import DataError

_FORM = "JSON Lines"
_RECORDS_FOR_COLUMNS = 1000


def open_manifest(manifest: Path, recognise: Recognise) -> Table:
    """Opens a file of JSON objects; its columns are the keys of the first 1,000.

    Raises:
        DataError: the first line is not a JSON object.
    """
    del recognise
    columns: dict[str, None] = {}
    for number, (line, value) in enumerate(_objects(manifest)):
        if isinstance(value, str) and not number:
            raise DataError(
                f"Expected a JSON object in each line of {manifest}. Received: line {line} is "
                f"none. {value}"
            )
        if isinstance(value, dict):
            columns.update(dict.fromkeys(value))
        if number >= _RECORDS_FOR_COLUMNS:
            break
    names = tuple(columns)

    def read(positions: Sequence[int]) -> Iterator[Record]:
        wanted = [names[at] for at in positions]
        for line, value in _objects(manifest):
            if isinstance(value, str):
                yield Record(line, (), value)
            else:
                yield Record(line, tuple([value.get(name) for name in wanted]))

    return Table(names, read)


def _objects(manifest: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yields line and object, or line and what is wrong with it."""
    with open_lines(manifest, _FORM) as lines:
        for text in lines:
            problem = lines.problem_within(lines.number, lines.number)
            if problem:
                yield lines.number, problem
            elif text.strip():
                yield lines.number, _object(text)


def _object(text: str) -> dict[str, Any] | str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"Expected a JSON object. Received: {error}."
    if isinstance(value, dict):
        return value
    return f"Expected a JSON object. Received: {text.strip()[:80]!r}."


KIND = ManifestKind((".jsonl", ".ndjson"), "a JSON Lines file", open_manifest)
