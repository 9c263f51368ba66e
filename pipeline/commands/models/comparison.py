"""Two pushed versions side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len, set_cell_size

from components.contracts.genre_names import listing
from components.contracts.metrics import COMPARED, COMPARED_PER_GENRE
from components.support.errors import DeploymentError
from pipeline.commands.models.shown import MOST_GENRES
from pipeline.commands.models.versions import Model, Models

Row = tuple[str, float | None, float | None]

_LEAST_WIDTH = 30
_MEGABYTE = 1_000_000


def choose_two(found: Models, versions: tuple[int, ...]) -> tuple[Model, Model]:
    """Returns the versions to compare.

    Args:
        found: the versions at a destination.
        versions: two versions; or one, which is compared with the served one; or none: the model
            that was pushed before is compared with the served one.

    Raises:
        DeploymentError: one is not there or damaged, or there is nothing to compare with.
    """
    second = found[versions[1]] if len(versions) > 1 else found.served
    first = found[versions[0]] if versions else _before(found, second)
    for model in (first, second):
        if model.damage:
            raise DeploymentError(
                f"Expected whole versions to compare. Received: {model.location}, where "
                f"{model.damage}. Name others; see them with: covers models list"
            )
    return first, second


def compare(first: Model, second: Model) -> dict[str, Any]:
    """Returns two whole versions side by side, ready for JSON.

    Returns:
        `first` and `second`; `metrics`, name -> values and change; `genres`, genre -> metric or
        `threshold` -> values and change; `only_in_first` and `only_in_second`, genres;
        `frameworks`, name -> the two versions.
    """
    described = [model.description for model in (first, second)]
    frameworks = [dict(each.versions) if each else {} for each in described]
    genres = _genres(first, second)
    return {
        "first": first.to_dict(),
        "second": second.to_dict(),
        "metrics": _changes(_overall(first, second)),
        "genres": {genre: _changes(_of_genre(first, second, genre)) for genre in genres},
        "only_in_first": [genre for genre in first.genres if genre not in second.genres],
        "only_in_second": [genre for genre in second.genres if genre not in first.genres],
        "frameworks": {
            name: [each.get(name) for each in frameworks] for name in frameworks[0] | frameworks[1]
        },
    }


def describe_comparison(first: Model, second: Model) -> Iterator[str]:
    """Yields a table: what, the first version's value, the second's, and the change."""
    genres = _genres(first, second)
    named = [
        (f"{genre}: {name}", before, after)
        for genre in genres[:MOST_GENRES]
        for name, before, after in _of_genre(first, second, genre)
    ]
    rows = [row for row in (*_overall(first, second), *named) if row[1:] != (None, None)]
    width = max(_LEAST_WIDTH, *(cell_len(row[0]) + 2 for row in rows))
    yield f"{'version':<{width}}{first.version:>15}{second.version:>15}{'change':>12}"
    yield f"{'state':<{width}}{first.state:>15}{second.state:>15}"
    yield f"{'pushed':<{width}}" + "".join(
        f"{f'{model.pushed:%Y-%m-%d}' if model.pushed else '-':>15}" for model in (first, second)
    )
    sizes = [model.bytes / _MEGABYTE for model in (first, second)]
    yield f"{'size, MB':<{width}}{sizes[0]:>15.1f}{sizes[1]:>15.1f}{sizes[1] - sizes[0]:>+12.1f}"
    for title, before, after in rows:
        yield set_cell_size(title, width) + _numbers(before, after)
    if len(genres) > MOST_GENRES:
        yield f"and {len(genres) - MOST_GENRES:,} more genres, see --json"
    for model, other in ((first, second), (second, first)):
        only = [genre for genre in model.genres if genre not in other.genres]
        if only:
            yield f"Only version {model.version} knows {listing(only)}."
    for name, (before, after) in compare(first, second)["frameworks"].items():
        yield f"{name:<{width}}{before or '-':>15}{after or '-':>15}"
    if first.recipe == second.recipe:
        yield "Both are the same model: they have the same recipe."


def _before(found: Models, served: Model) -> Model:
    older = (
        model
        for model in found.models
        if model.version < served.version and not model.damage and model.recipe != served.recipe
    )
    model = next(older, None)
    if model is None:
        raise DeploymentError(
            f"Expected an older version of another model at {found.destination} to compare with. "
            "Received: none. Name two versions; see them with: covers models list"
        )
    return model


def _genres(first: Model, second: Model) -> list[str]:
    return list(dict.fromkeys((*first.genres, *second.genres)))


def _overall(first: Model, second: Model) -> Iterator[Row]:
    values = [model.metrics() for model in (first, second)]
    for name in COMPARED:
        yield name, values[0].get(name), values[1].get(name)


def _of_genre(first: Model, second: Model, genre: str) -> Iterator[Row]:
    values = [model.metrics(genre) for model in (first, second)]
    for name in COMPARED_PER_GENRE:
        yield name, values[0].get(name), values[1].get(name)
    yield "threshold", first.thresholds.get(genre), second.thresholds.get(genre)


def _changes(rows: Iterator[Row]) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            "first": before,
            "second": after,
            "change": None if before is None or after is None else after - before,
        }
        for name, before, after in rows
    }


def _numbers(before: float | None, after: float | None) -> str:
    cells = "".join(f"{'-' if value is None else f'{value:.3f}':>15}" for value in (before, after))
    change = "-" if before is None or after is None else f"{after - before:+.3f}"
    return f"{cells}{change:>12}"
