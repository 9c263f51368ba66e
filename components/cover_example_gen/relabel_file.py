"""Reads what a person decided about labels, from a CSV file such as the report's label_errors.csv.

The decisions become part of the configuration: they travel with it to Kubeflow, and what is cached
follows from them. So they are few: their text must fit into an argument of a command.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from components.contracts.genre_names import listing, spelling
from components.contracts.label_schema import LabelSchema
from components.support.errors import ConfigError
from components.support.options import Options
from components.support.suggestions import did_you_mean
from components.support.texts import shortened

COVER, GENRE, DECISION, ID = "cover", "genre", "decision", "id"

LARGEST_FILE = 4 << 20
LARGEST_DECISIONS = 96 << 10  # Linux takes arguments below 128 KiB; others go with them.

Choice = Literal["keep", "add", "remove", "drop"]

_CHOICES: tuple[str, ...] = get_args(Choice)
_DELIMITERS = (",", ";", "\t")


class Decision(NamedTuple):
    """What a person decided in one row.

    Attributes:
        line: 1-based, in the file.
        cover: identity of the cover, or its path relative to the data.
        genre: the genre that is added or removed; empty for `drop`.
        choice: `add` or `remove` a genre, `drop` the cover, or `keep` the label.
    """

    line: int
    cover: str
    genre: str
    choice: Choice


class RelabelConfig(Options):
    """Decisions that change something.

    Attributes:
        file: name of the file that they come from.
        decisions: the decisions, without those that keep a label.
    """

    SECTION = "ingest.relabel"

    file: str
    decisions: tuple[Decision, ...] = ()

    def spelled_as_in(self, schema: LabelSchema) -> RelabelConfig:
        """Returns the decisions with the genres as the schema spells them.

        Raises:
            ConfigError: a genre is not in the schema.
        """
        spelled = []
        for each in self.decisions:
            genre = schema.match(each.genre) if each.genre else ""
            if genre is None:
                raise ConfigError(
                    f"Expected one of the genres {listing(schema.genres)} in {self.file}, line "
                    f"{each.line}. Received: {shortened(repr(each.genre))}."
                    f"{did_you_mean(each.genre, schema.genres)} Correct the genre, or clear the "
                    "decision."
                )
            spelled.append(each._replace(genre=genre))
        return self.model_copy(update={"decisions": tuple(spelled)})


def embedded(value: Any) -> Any:
    """Returns the content of a file of decisions in place of its path, ready for `RelabelConfig`.

    Raises:
        ConfigError: the file cannot be read, or a row cannot be followed.
    """
    if not isinstance(value, str | Path):
        return value
    file = Path(value)
    decisions = list(_decisions(_text(file), file))
    refuse_contradictions(decisions, str(file))
    changing = [each for each in decisions if each.choice != "keep"]
    size = len(json.dumps(json.dumps(changing)))
    if size > LARGEST_DECISIONS:
        raise ConfigError(
            f"Expected decisions in {file} of at most {LARGEST_DECISIONS:,} bytes, about 1,000 of "
            f"them. Received: {len(changing):,} of {size:,} bytes. Correct the labels in the data "
            "instead, and leave these decisions out."
        )
    return {"file": file.name, "decisions": changing}


def refuse_contradictions(decisions: Iterable[Decision], file: str) -> None:
    """Checks that decisions about the same cover agree.

    Args:
        decisions: decisions, each cover under one name.
        file: where they come from.

    Raises:
        ConfigError: two of them contradict each other.
    """
    by_genre: dict[tuple[str, str], Decision] = {}
    by_cover: dict[str, Decision] = {}
    for each in decisions:
        of_cover = by_cover.setdefault(each.cover, each)
        of_genre = by_genre.setdefault((each.cover, spelling(each.genre)), each)
        if "drop" in (each.choice, of_cover.choice) and each.choice != of_cover.choice:
            _contradict(of_cover, each, "cover", file)
        if each.choice != of_genre.choice:
            _contradict(of_genre, each, "label", file)


def _contradict(first: Decision, second: Decision, what: str, file: str) -> None:
    raise ConfigError(
        f"Expected one decision for a {what} in {file}. Received: {first.choice} in line "
        f"{first.line} and {second.choice} in line {second.line}, for "
        f"{shortened(repr(second.cover))}. Clear one of them."
    )


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"Expected a CSV file of decisions at ingest.relabel. Received: "
            f"{shortened(str(error))}. Copy the label_errors.csv of a report, and fill it in."
        ) from error
    if len(content) > LARGEST_FILE:
        raise ConfigError(
            f"Expected {file} to have at most {LARGEST_FILE:,} bytes. Received: more. Leave out "
            "the rows without a decision."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"Expected {file} to be UTF-8. Received: other bytes in line {line}. Save it as CSV "
            "in UTF-8."
        ) from error


def _decisions(text: str, file: Path) -> Iterator[Decision]:
    rows = _rows(text, file)
    _, header = next(rows, (1, []))
    at = {name.strip().casefold(): place for place, name in enumerate(header)}
    if not {COVER, GENRE, DECISION} <= at.keys():
        raise ConfigError(
            f"Expected the columns {COVER}, {GENRE} and {DECISION} in {file}, line 1. Received: "
            f"{shortened(', '.join(header)) or 'none'}. Keep the first line of label_errors.csv."
        )
    for line, cells in rows:
        if len(cells) != len(header):
            raise ConfigError(
                f"Expected {len(header)} values in {file}, line {line}, as in the header. "
                f"Received: {len(cells)}. Put a value with a comma in double quotes."
            )
        said = {name: cells[place].strip() for name, place in at.items()}
        choice = said[DECISION].casefold()
        if choice:
            yield _decision(line, said, choice, file)


def _decision(line: int, said: dict[str, str], choice: str, file: Path) -> Decision:
    cover = said.get(ID, "").lower() or said[COVER]
    if choice not in _CHOICES:
        raise ConfigError(
            f"Expected a decision among {', '.join(_CHOICES)} in {file}, line {line}, or none. "
            f"Received: {shortened(repr(choice))}.{did_you_mean(choice, _CHOICES)}"
        )
    missing = COVER if not cover else GENRE if not said[GENRE] and choice != "drop" else ""
    if missing:
        raise ConfigError(
            f"Expected a {missing} in {file}, line {line}, as there is a decision. Received: "
            f"none. Name the {missing}, or clear the decision."
        )
    genre = "" if choice == "drop" else said[GENRE]
    return Decision(line, cover, genre, choice)  # type: ignore[arg-type]


def _rows(text: str, file: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """Yields the rows with the number of the line on which each begins; empty ones are left out."""
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ConfigError(
                f"Expected CSV in {file}. Received: {error}, in the row that begins on line "
                f"{line}. Look for a quotation mark that is not closed or not doubled."
            ) from error
        if cells:
            yield line, cells
