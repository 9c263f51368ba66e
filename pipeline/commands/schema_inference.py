"""Proposes a label schema from data, for a person to curate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format

from components.contracts.label_schema import (
    IMAGE_FORMAT,
    LabelSchema,
    read_schema,
    set_genres,
    spelling,
    split_genres,
)
from components.contracts.quarantine import RowRejected
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.headers import read_header
from components.cover_example_gen.manifests.kinds import expected_manifests
from components.cover_example_gen.sources import Source
from components.cover_example_gen.spans import find_spans
from components.support.errors import DataError
from pipeline.config import DEFAULT_CONFIG, load_config

_LARGEST_FILE = 32 << 20


def infer_schema(data: Path) -> str:
    """Returns a schema in text format: the shipped one with the genres and formats of the data.

    Spellings of one genre ("Hip-Hop", "hip hop") become one, in lower case without punctuation.
    The counts are given as comments, to help a person drop the noise.

    Raises:
        ConfigError: there is nothing at `data`.
        DataError: there are no rows, or fewer than two genres.
    """
    given = [(span.source, span.source.rows()) for span in find_spans(data)]
    rows = [row for _, found in given for row in found]
    genres = Counter(
        spelling(name) for row in rows for text in row.genres for name in split_genres(text)
    )
    genres.pop("", None)
    if len(genres) < 2:
        raise DataError(
            f"Expected at least two genres in {data}. Received: {', '.join(genres) or 'none'}. "
            f"Give one folder per genre, or {expected_manifests()}."
        )
    formats = Counter(
        name for source, found in given for name in _formats(source, {row.path for row in found})
    )
    schema = read_schema(load_config(DEFAULT_CONFIG).schema_path)
    features = {feature.name: feature for feature in schema.feature}
    accepted = [name for name in features[IMAGE_FORMAT].string_domain.value if formats[name]]
    set_genres(schema, sorted(genres))
    if accepted:
        features[IMAGE_FORMAT].string_domain.value[:] = accepted
    LabelSchema.from_proto(schema)
    return _comments(data, len(rows), genres, formats) + text_format.MessageToString(schema)


def _formats(source: Source, paths: set[str]) -> Iterator[str]:
    directory = DataDirectory(source.directory, _LARGEST_FILE)
    for path in sorted(paths):
        try:
            yield read_header(directory.read(path)[1]).format
        except RowRejected as rejected:
            yield rejected.reason.value


def _comments(data: Path, rows: int, genres: Counter[str], formats: Counter[str]) -> str:
    lines = [
        f"Proposed from the {rows} rows of {data.name}. Curate it: remove what is not a genre.",
        "The order of the `genre` domain is the order of the model's outputs.",
        "Rows by genre: " + _counts(genres) + ".",
        "Files by format: " + _counts(formats) + ".",
    ]
    return "".join(f"# {re.sub(r'[^ -~]', '?', line)}\n" for line in lines) + "\n"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())
