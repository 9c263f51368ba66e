"""Spans: numbered deliveries of covers, such as one folder per day.

The data directory holds `span-1`, `span-2`, ...; each is a source by itself. TFX writes this
as the pattern `data/span-{SPAN}`, which is accepted too, with any other name around the number.
A span that has a successor is closed: its covers fix the names of near-duplicate groups, and hence
splits, for all that come later.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from components.cover_example_gen.config import IngestConfig, SpanChoice
from components.cover_example_gen.sources import Source, find_source
from components.support.errors import ConfigError
from components.support.texts import first_few

SPAN = "{SPAN}"
_DEFAULT_PATTERN = f"span-{SPAN}"


@dataclasses.dataclass(frozen=True)
class Span:
    """One delivery.

    Attributes:
        number: its number; None for data without spans.
        source: where its rows come from.
    """

    number: int | None
    source: Source


@dataclasses.dataclass(frozen=True)
class Selection:
    """The spans of one ingest, ascending by number.

    Attributes:
        history: the spans before those taken: they only fix groups and splits.
        taken: the spans that become examples.
    """

    history: tuple[Span, ...]
    taken: tuple[Span, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        """All spans that must be read, ascending."""
        return (*self.history, *self.taken)

    @property
    def previous(self) -> Span | None:
        """The span just before the newest one taken: what drift is measured against."""
        return self.spans[-2] if len(self.spans) > 1 else None


def select_spans(data: Path | str, config: IngestConfig) -> Selection:
    """Finds the spans of the data and selects those chosen.

    Args:
        data: a manifest, a folder, a folder of spans, or a path with `{SPAN}` in it.
        config: which spans to take, and which columns of their manifests.

    Raises:
        ConfigError: there is nothing at `data` that can be read, or the chosen spans are not there.
    """
    try:
        spans = find_spans(Path(data), config)
    except OSError as error:
        raise ConfigError(
            f"Expected readable data at {data}. Received: {error.strerror}."
        ) from error
    numbers = [span.number for span in spans]
    choice = config.span
    if choice == "newest":
        taken = spans[-1:]
    elif choice == "all":
        taken = spans
    elif numbers == [None]:
        raise ConfigError(
            f"Expected spans in {data}, because ingest.span is {_text(choice)}. Received: data "
            "without spans. Name the folders span-1, span-2, ..., or leave out ingest.span."
        )
    else:
        first, last = (choice, choice) if isinstance(choice, int) else choice
        wanted = range(first, last + 1)
        taken = [span for span in spans if span.number in wanted]
        if not taken or (isinstance(choice, int) and len(taken) != 1):
            listed = first_few(numbers)
            raise ConfigError(
                f"Expected span {_text(choice)} in {data}. Received: the spans {listed}. "
                "Set ingest.span to one of them, to a range, to newest or to all."
            )
    history = spans[: spans.index(taken[0])]
    return Selection(tuple(history), tuple(taken))


def find_spans(data: Path, config: IngestConfig) -> list[Span]:
    """Lists the spans of the data, ascending; data without spans are a single one.

    Raises:
        ConfigError: there is nothing at `data`, or two folders have the same number.
    """
    if SPAN in str(data):
        found = _matches(data)
        if not found:
            raise ConfigError(
                f"Expected folders like {data}, with a number in place of {SPAN}. Received: none."
            )
    else:
        found = _matches(data / _DEFAULT_PATTERN) if data.is_dir() else []
        if not found:
            return [Span(None, find_source(data, config=config))]
    numbers = [number for number, _ in found]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise ConfigError(
            f"Expected one folder for each span in {data}. Received: several numbered "
            f"[{first_few(twice)}]."
        )
    return [Span(number, find_source(path, path.name, config)) for number, path in sorted(found)]


def _matches(pattern: Path) -> list[tuple[int, Path]]:
    if pattern.name.count(SPAN) != 1 or SPAN in str(pattern.parent):
        raise ConfigError(
            f"Expected {SPAN} once, in the last part of the path, as in data/span-{SPAN}. "
            f"Received: {pattern}."
        )
    before, after = pattern.name.split(SPAN)
    name = re.compile(f"{re.escape(before)}([0-9]+){re.escape(after)}")
    return list(_numbered(pattern.parent, name))


def _numbered(directory: Path, name: re.Pattern[str]) -> Iterator[tuple[int, Path]]:
    for path in directory.iterdir() if directory.is_dir() else ():
        match = name.fullmatch(path.name)
        if match and path.is_dir():
            yield int(match[1]), path


def _text(choice: SpanChoice) -> str:
    return f"{choice[0]} to {choice[1]}" if isinstance(choice, tuple) else str(choice)
