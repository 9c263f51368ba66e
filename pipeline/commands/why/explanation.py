"""Why a model answers as it does for one cover, for people on a terminal and for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len, set_cell_size

from components.contracts.genre_names import listing
from pipeline.commands.why.heat_map import HeatMaps
from pipeline.commands.why.neighbours import Nearest

_MOST_SHOWN = 20
_MOST_MAPS = 4


@dataclasses.dataclass(frozen=True)
class Judged:
    """One genre of a cover: its probability, the threshold for it, and whether it was decided."""

    genre: str
    probability: float
    threshold: float
    decided: bool


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What the model says of a cover, and what that rests on.

    Attributes:
        cover: the file's path or URL as given.
        encoded: the image as the model sees it, JPEG or PNG.
        judged: the genres in the order of the model's outputs.
        maps: where the cover speaks for and against each genre.
        nearest: the nearest training covers, or why there are none.
    """

    cover: str
    encoded: bytes
    judged: tuple[Judged, ...]
    maps: HeatMaps
    nearest: Nearest | str

    @property
    def decided(self) -> tuple[str, ...]:
        """The genres that the model decided on."""
        return tuple(each.genre for each in self.judged if each.decided)

    @property
    def mapped(self) -> tuple[int, ...]:
        """Places of the genres whose maps are shown: those decided, or else the most probable."""
        ranked = sorted(range(len(self.judged)), key=lambda i: -self.judged[i].probability)
        decided = [place for place in ranked if self.judged[place].decided]
        return tuple((decided or ranked[:1])[:_MOST_MAPS])

    @property
    def ranked(self) -> tuple[Judged, ...]:
        """The genres, the most probable first."""
        return tuple(sorted(self.judged, key=lambda each: -each.probability))

    def rests_on(self, place: int) -> str:
        """Says in words which part of the cover speaks most for a genre."""
        judged, lowest = self.judged[place], float(self.maps.lowest[place])
        if not self.maps.speaks_for(place):
            return f"no part of the cover by itself: hiding any leaves {judged.genre} as probable"
        return (
            f"the {self.maps.strongest(place)} of the cover: without it, {judged.genre} falls "
            f"from {judged.probability:.2f} to {lowest:.2f}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the explanation ready for JSON."""
        return {
            "image": self.cover,
            "genres": list(self.decided),
            "probabilities": {each.genre: each.probability for each in self.judged},
            "thresholds": {each.genre: each.threshold for each in self.judged},
            "nearest": None if isinstance(self.nearest, str) else self.nearest.to_dict(),
            "nearest_unknown": self.nearest if isinstance(self.nearest, str) else None,
            "heat_maps": {
                self.judged[place].genre: {
                    "log_odds": [[round(v, 4) for v in row] for row in cells.tolist()],
                    "lowest_probability": float(self.maps.lowest[place]),
                }
                for place, cells in enumerate(self.maps.cells)
            },
        }


def describe(explanation: Explanation) -> Iterator[str]:
    """Yields lines for a person."""
    yield f"{explanation.cover}: {listing(explanation.decided) or 'none of the genres'}"
    shown = explanation.ranked[:_MOST_SHOWN]
    width = max(cell_len(each.genre) for each in shown) + 2
    for each in shown:
        closest = " as the closest to its threshold" if each.probability < each.threshold else ""
        verdict = f"decided{closest}" if each.decided else ""
        name = set_cell_size(each.genre, width)
        yield f"  {name}{each.probability:.2f}  needs {each.threshold:.2f}  {verdict}".rstrip()
    hidden = len(explanation.judged) - len(shown)
    if hidden:
        yield f"  and {hidden:,} less probable ones, see --json"
    for place in explanation.mapped:
        yield f"  {explanation.judged[place].genre} rests on {explanation.rests_on(place)}"
    if isinstance(explanation.nearest, Nearest):
        yield from _nearest(explanation.nearest)


def _nearest(nearest: Nearest) -> Iterator[str]:
    if nearest.itself:
        genres = listing(nearest.itself.genres) or "no genre"
        yield f"  the model was trained on this very cover, labelled {genres}"
    yield f"  nearest of {nearest.among:,} training covers:"
    for cover in nearest.covers:
        yield f"    {cover.similarity:.2f}  {listing(cover.genres) or 'no genre'}  {cover.path}"
    yield f"    the nearest {nearest.counted}: {genre_counts(nearest)}"


def genre_counts(nearest: Nearest) -> str:
    """Returns how many of the nearest covers have each genre, in words."""
    return ", ".join(f"{genre} {count}" for genre, count in nearest.genres.items()) or "no genre"
