"""Follows what a person decided about labels; see `relabel_file`."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from components.contracts.quarantine import Reason
from components.cover_example_gen.config import IngestConfig
from components.cover_example_gen.relabel_file import (
    Decision,
    RelabelConfig,
    refuse_contradictions,
)
from components.cover_example_gen.rows import InspectedRow
from components.cover_example_gen.spans import Selection
from components.support.errors import ConfigError
from components.support.texts import shortened

_NAMED = 5


@dataclasses.dataclass(frozen=True)
class CoverDecisions:
    """What becomes of one cover.

    Attributes:
        added: genres that it has, whatever its rows name.
        removed: genres that it does not have.
        dropped: line of the file that drops it, or None.
    """

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    dropped: int | None = None


@dataclasses.dataclass(frozen=True)
class Relabelling:
    """The decisions by cover.

    Attributes:
        file: name of the file that they come from.
        by_id: identity -> decisions.
        allow_no_genre: whether a cover may be left without a genre.
    """

    file: str = ""
    by_id: Mapping[str, CoverDecisions] = dataclasses.field(default_factory=dict)
    allow_no_genre: bool = False

    def follow(self, rows: Sequence[InspectedRow]) -> tuple[list[InspectedRow], set[str]]:
        """Gives all rows of a cover the genres that it has by the decisions, or sets them aside.

        A row that was rejected only because it names no genre is accepted if one is added. A cover
        that is left with none stays acceptable; see `without_genre`.

        Returns:
            The rows, and the identities of the covers whose genres changed.
        """
        given: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            if row.facts and not row.reason and row.facts.image_id in self.by_id:
                given[row.facts.image_id].update(row.genres)
        changed: set[str] = set()
        followed = []
        for row in rows:
            image_id = row.facts.image_id if row.facts else ""
            decided = self.by_id.get(image_id)
            lacks_genre = row.reason is Reason.NO_GENRE and decided is not None and decided.added
            if decided is None or (row.reason and not lacks_genre):
                followed.append(row)
            elif decided.dropped is not None:
                detail = f"Dropped by {self.file}, line {decided.dropped}."
                followed.append(_rejected(row, Reason.DROPPED, detail))
            else:
                genres = (given[image_id] | decided.added) - decided.removed
                if genres != given[image_id]:
                    changed.add(image_id)
                followed.append(
                    dataclasses.replace(row, genres=tuple(sorted(genres)), reason=None, detail="")
                )
        return followed, changed

    def without_genre(self, rows: Sequence[InspectedRow]) -> list[InspectedRow]:
        """Sets rows aside that the decisions left without a genre, unless that is allowed."""
        if self.allow_no_genre or not self.by_id:
            return list(rows)
        detail = f"Expected at least one genre. Received: none after the decisions in {self.file}."
        return [
            _rejected(row, Reason.NO_GENRE, detail)
            if row.facts and not row.reason and not row.genres
            else row
            for row in rows
        ]


def find_relabelling(
    rows: Iterable[InspectedRow], selection: Selection, config: IngestConfig
) -> Relabelling:
    """Finds the covers that the decisions are about.

    Args:
        rows: all rows of the selected spans.
        selection: the spans.
        config: with the decisions, their genres spelled as in the schema.

    Raises:
        ConfigError: no row is about a cover, or decisions contradict each other.
    """
    if not config.relabel or not config.relabel.decisions:
        return Relabelling()
    wanted = {each.cover for each in config.relabel.decisions}
    # A cover that cannot be read has no identity; what is decided about it has no effect.
    known: dict[str, str | None] = {}
    for row in rows:
        folder = selection.spans[row.delivery].source.folder
        image_id = row.facts.image_id if row.facts else None
        for name in (row.file, row.row.path):
            path = f"{folder}/{name}" if folder else name
            if path in wanted:
                known[path] = known.get(path) or image_id
        if image_id in wanted:
            known[image_id] = image_id
    decisions = _named_by_identity(config.relabel, known)
    refuse_contradictions(decisions, config.relabel.file)
    by_cover: dict[str, list[Decision]] = defaultdict(list)
    for each in decisions:
        by_cover[each.cover].append(each)
    by_id = {image_id: _of_cover(some) for image_id, some in by_cover.items()}
    return Relabelling(config.relabel.file, by_id, config.allow_no_genre)


def _named_by_identity(config: RelabelConfig, known: Mapping[str, str | None]) -> list[Decision]:
    unknown = [each for each in config.decisions if each.cover not in known]
    if unknown:
        first = ", ".join(
            f"line {each.line} ({shortened(repr(each.cover))})" for each in unknown[:_NAMED]
        )
        more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
        raise ConfigError(
            f"Expected decisions in {config.file} about covers that are in the data. Received: "
            f"others in {first}{more}. Correct these lines, or clear their decisions."
        )
    return [
        each._replace(cover=image_id)
        for each in config.decisions
        if (image_id := known[each.cover]) is not None
    ]


def _of_cover(decisions: Sequence[Decision]) -> CoverDecisions:
    return CoverDecisions(
        added=frozenset(each.genre for each in decisions if each.choice == "add"),
        removed=frozenset(each.genre for each in decisions if each.choice == "remove"),
        dropped=next((each.line for each in decisions if each.choice == "drop"), None),
    )


def _rejected(row: InspectedRow, reason: Reason, detail: str) -> InspectedRow:
    return dataclasses.replace(row, genres=(), reason=reason, detail=detail)
