"""The files that answers are written to: CSV, JSON Lines or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from components.contracts.genre_names import GENRE_SEPARATOR
from components.support.errors import ConfigError

Answers = Iterable[dict[str, Any]]

_ROWS_AT_ONCE = 4096


def check_suffix(output: Path) -> None:
    """Raises unless the name of a file says what to write.

    Raises:
        ConfigError: says which names do.
    """
    if output.suffix.lower() not in _WRITERS:
        raise ConfigError(
            f"Expected --output to end with {', '.join(_WRITERS)}. Received: {output.name}."
        )


def write_table(answers: Answers, genres: Sequence[str], file: Path, suffix: str) -> None:
    """Writes answers to a file.

    Args:
        answers: with `image` and either `genres` and `probabilities`, or `reason` and `error`.
        genres: in the order of the model's outputs.
        file: the file to write.
        suffix: says what to write, whatever the file is called.
    """
    _WRITERS[suffix.lower()](answers, genres, file)


def _write_csv(answers: Answers, genres: Sequence[str], file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["image", "genres", *map(_column, genres), "reason", "error"])
        for row in _rows(answers, genres):
            writer.writerow(
                [
                    row["image"],
                    GENRE_SEPARATOR.join(row["genres"] or ()),
                    *(
                        "" if row[column] is None else row[column]
                        for column in map(_column, genres)
                    ),
                    row["reason"] or "",
                    row["error"] or "",
                ]
            )


def _write_json_lines(answers: Answers, genres: Sequence[str], file: Path) -> None:
    del genres
    with file.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(answer) + "\n" for answer in answers)


def _write_parquet(answers: Answers, genres: Sequence[str], file: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [
            ("image", pa.string()),
            ("genres", pa.list_(pa.string())),
            *((_column(genre), pa.float32()) for genre in genres),
            ("reason", pa.string()),
            ("error", pa.string()),
        ]
    )
    with parquet.ParquetWriter(file, schema) as writer:
        waiting: list[dict[str, Any]] = []
        for row in _rows(answers, genres):
            waiting.append(row)
            if len(waiting) == _ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(waiting, schema))
                waiting.clear()
        writer.write_table(pa.Table.from_pylist(waiting, schema))


def _rows(answers: Answers, genres: Sequence[str]) -> Iterator[dict[str, Any]]:
    for answer in answers:
        probabilities = answer.get("probabilities", {})
        yield {
            "image": _text(answer["image"]),
            "genres": answer.get("genres"),
            **{_column(genre): probabilities.get(genre) for genre in genres},
            "reason": answer.get("reason"),
            "error": answer.get("error") and _text(answer["error"]),
        }


def _column(genre: str) -> str:
    return f"probability_{genre}"


def _text(text: str) -> str:
    # Bytes of a file name that are no UTF-8.
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


_WRITERS: dict[str, Callable[[Answers, Sequence[str], Path], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}
