"""Covers with the genres that a model knows, read from data of any shape."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.contracts.backgrounds import DEFAULT_BACKGROUND
from components.contracts.genre_names import GenreNames, listing
from components.contracts.quarantine import Reason, RowRejected
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.files import DataDirectory
from components.cover_example_gen.rows import read_row
from components.cover_example_gen.sources import Row
from components.cover_example_gen.spans import find_spans
from components.support.errors import DataError
from pipeline.commands.predict import LARGEST_FILE, accept_image

_NAMED = 5


@dataclasses.dataclass(frozen=True)
class LabelledCovers:
    """Distinct covers and their genres, and what became of the rows.

    Attributes:
        encoded: the files.
        labels: float32, shape (covers, genres), 0 or 1.
        rows: number of rows given.
        left_out: reason -> rows that are not used.
        unknown: name -> rows that give it, of genres that the model does not know.
        partly_known: rows that are used and give unknown genres as well, which are ignored.
    """

    encoded: list[bytes]
    labels: npt.NDArray[np.float32]
    rows: int
    left_out: Counter[str]
    unknown: Counter[str]
    partly_known: int

    def account(self) -> Iterator[str]:
        """Yields sentences: how many rows are used, and why the others are not."""
        used = self.rows - self.left_out.total()
        reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in self.left_out.most_common())
        yield f"{self.rows:,} rows given, {used:,} used" + (
            f", {self.left_out.total():,} left out ({reasons})" if reasons else ""
        )
        if self.unknown:
            named = ", ".join(f"{n} {rows:,}" for n, rows in self.unknown.most_common(_NAMED))
            more = len(self.unknown) - _NAMED
            yield (
                f"genres that the model does not know: {named}"
                + (f" and {more:,} more" if more > 0 else "")
                + (f"; {self.partly_known:,} rows have known ones too" * bool(self.partly_known))
            )


def read_labelled_covers(
    data: Path, genres: Sequence[str], background: str = DEFAULT_BACKGROUND
) -> LabelledCovers:
    """Reads covers that have at least one of the genres; the same file twice is one cover.

    Args:
        data: a manifest, a folder with one folder per genre, or a folder of spans.
        genres: in the order of the model's outputs.
        background: colour below transparent pixels.

    Raises:
        ConfigError: there is nothing at `data`.
        DataError: no row can be used.
    """
    names = GenreNames(genres)
    places = {genre: place for place, genre in enumerate(genres)}
    covers: dict[bytes, npt.NDArray[np.float32]] = {}
    left_out: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    rows = partly_known = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number, span in enumerate(find_spans(data, IngestConfig())):
            directory = DataDirectory(span.source.directory, LARGEST_FILE)
            for row in span.source.rows(Path(scratch, str(number))):
                rows += 1
                known, others = names.find_all(row.genres, listed=row.listed)
                unknown.update(set(others))
                try:
                    encoded = _read(row, directory, known, others, background)
                except RowRejected as rejected:
                    left_out[rejected.reason.value] += 1
                    continue
                partly_known += bool(others)
                label = covers.setdefault(encoded, np.zeros(len(genres), np.float32))
                label[[places[genre] for genre in known]] = 1.0
    found = LabelledCovers(
        list(covers),
        np.array(list(covers.values()), np.float32).reshape(-1, len(genres)),
        rows,
        left_out,
        unknown,
        partly_known,
    )
    if not covers:
        raise DataError(
            f"Expected covers in {data} of the model's genres: {listing(genres)}. "
            f"Received: {'; '.join(found.account())}."
        )
    return found


def _read(
    row: Row,
    directory: DataDirectory,
    known: Sequence[str],
    others: Sequence[str],
    background: str,
) -> bytes:
    """Returns a cover's file.

    Raises:
        RowRejected: ingest would refuse the row, or it has no genre that the model knows.
    """
    if row.problem:
        raise RowRejected(Reason.MALFORMED_ROW, row.problem)
    if not known:
        reason = Reason.UNKNOWN_GENRE if others else Reason.NO_GENRE
        raise RowRejected(reason, "Expected a genre of the model.")
    return accept_image(read_row(row, directory)[1], background)
