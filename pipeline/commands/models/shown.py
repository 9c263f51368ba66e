"""Pushed versions as plain lines, readable at 80 columns."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from components.contracts.genre_names import listing
from components.contracts.metrics import COMPARED_PER_GENRE, METRICS, RUN_COLUMNS
from components.contracts.rollbacks import Rollback, when
from pipeline.commands.models.retention import PrunedModels
from pipeline.commands.models.versions import Model, Models

MOST_GENRES = 50
"""How many genres are printed; JSON has them all."""

_MEGABYTE = 1_000_000
_COLUMNS = RUN_COLUMNS[:2]
_LEAST_WIDTH = 16
_RECIPE_DIGITS = 7


def describe_models(found: Models, pipeline: str) -> Iterator[str]:
    """Yields a table of versions, newest first, each with a line or two on its state."""
    title = f"pipeline {pipeline}: " if pipeline else ""
    if not found.models:
        yield f"{title}no pushed models in {found.destination} yet. Push one with: covers run"
        return
    yield f"{title}{found.destination}"
    headers = "".join(f"{name:>15}" for name in _COLUMNS)
    yield f"{'version':<15}{'pushed (UTC)':<16}{headers}{'size':>11}  recipe"
    for model in found.models:
        yield _row(model)
        genres = f"; {listing(model.genres)}" if model.genres else ""
        yield f"  {_state(model)}{genres}"
        yield from (f"  {line}" for line in _circumstances(model))
    if found.previous:
        yield f"`covers rollback --reason TEXT` restores version {found.previous}."


def describe_model(model: Model, rollbacks: Sequence[Rollback]) -> Iterator[str]:
    """Yields everything about one version."""
    yield f"version {model.version}: {_state(model)}"
    yield from (f"  {line}" for line in _circumstances(model))
    yield f"  in       {model.location}"
    yield f"  pushed   {f'{_minute(model.pushed)} UTC' if model.pushed else 'unknown'}"
    yield f"  recipe   {model.recipe or 'unknown'}"
    if model.description:
        described = model.description
        versions = ", ".join(f"{name} {version}" for name, version in described.versions.items())
        yield f"  made by  {versions or 'unknown'}"
        rule = ", at least one genre" if described.at_least_one_genre else ""
        yield (
            f"  input    {described.image_size} x {described.image_size} pixels on "
            f"{described.background}{rule}"
        )
    overall = model.metrics()
    if overall:
        yield "metrics on the test covers"
        for name in (name for name in METRICS if name in overall):
            yield f"  {name:<26}{METRICS[name].text(overall[name]):>10}"
    yield from _genres(model)
    history = [each for each in rollbacks if model.version in _named(each)]
    if history:
        yield "rollbacks"
        yield from (f"  {line}" for each in history for line in _rollback(each))
    yield f"files, {_size(model.bytes)}"
    for name, size in model.files.items():
        yield f"  {size:>14,}  {name}"


def model_to_dict(model: Model, rollbacks: Sequence[Rollback]) -> dict[str, Any]:
    """Returns everything about one version, ready for JSON."""
    return {
        **model.to_dict(),
        "description": dataclasses.asdict(model.description) if model.description else None,
        "model_card": dict(model.card),
        "rollbacks": [each.to_dict() for each in rollbacks if model.version in _named(each)],
        "files": dict(model.files),
    }


def describe_rollback(rollback: Rollback, destination: str) -> Iterator[str]:
    """Yields what a rollback did."""
    yield (
        f"Version {rollback.restored} is served again, as version {rollback.version} in "
        f"{destination}."
    )
    for withdrawn in rollback.withdrawn:
        yield (
            f"  Withdrawn: version {withdrawn.version}. A run that makes the same model again does "
            "not push it."
        )


def describe_pruned_models(pruned: PrunedModels) -> Iterator[str]:
    """Yields which versions were deleted, and why others were not."""
    count = len(pruned.deleted)
    versions = f"{count:,} version{'' if count == 1 else 's'}"
    size = _size(pruned.freed)
    yield (
        f"{'Would delete' if pruned.dry_run else 'Deleted'} {versions}, "
        f"{'keep' if pruned.dry_run else 'kept'} {len(pruned.kept):,}: {size} "
        f"{'to be freed' if pruned.dry_run else 'freed'}"
    )
    for model in pruned.deleted:
        damage = f"; damaged: {model.damage}" if model.damage else ""
        state = "delete" if pruned.dry_run else "deleted"
        yield f"  {state:<8}{model.version:<15}{_size(model.bytes)}, {_pushed(model)}{damage}"
    for version in pruned.abandoned:
        state = "delete" if pruned.dry_run else "deleted"
        yield f"  {state:<8}{version:<15}the upload was never finished"
    for version, why in pruned.kept.items():
        damage = f"; damaged: {pruned.damaged[version]}" if version in pruned.damaged else ""
        yield f"  {'keep' if pruned.dry_run else 'kept':<8}{version:<15}{why}{damage}"


def _row(model: Model) -> str:
    metrics = model.metrics()
    cells = "".join(
        f"{METRICS[name].text(metrics[name]) if name in metrics else '-':>15}" for name in _COLUMNS
    )
    return (
        f"{model.version:<13}  {_minute(model.pushed):<16}{cells}{_size(model.bytes):>11}  "
        f"{model.recipe[:_RECIPE_DIGITS]}"
    ).rstrip()


def _state(model: Model) -> str:
    if model.damage:
        return f"damaged: {model.damage}"
    return "restored, not served" if model.state == "restored" else model.state


def _circumstances(model: Model) -> Iterator[str]:
    if model.restored:
        yield f"restored from {model.restored.restored} {model.restored.sentence()}"
    if model.withdrawn:
        yield f"taken back {model.withdrawn.sentence()}"
    if model.pin:
        yield f"pinned {when(model.pin.at)} by {model.pin.by}: {model.pin.reason}"


def _genres(model: Model) -> Iterator[str]:
    if not model.description:
        return
    genres = model.description.genres
    width = max(_LEAST_WIDTH, *(cell_len(genre) + 2 for genre in genres))
    columns = COMPARED_PER_GENRE
    yield f"{'genre':<{width}}{'threshold':>10}" + "".join(f"{name:>18}" for name in columns)
    for genre, threshold in itertools.islice(model.thresholds.items(), MOST_GENRES):
        yield (
            set_cell_size(genre, width)
            + f"{threshold:>10.2f}"
            + _cells(model.metrics(genre), columns)
        )
    if len(genres) > MOST_GENRES:
        yield f"and {len(genres) - MOST_GENRES:,} more genres, see --json"


def _cells(values: Mapping[str, float], columns: Sequence[str]) -> str:
    return "".join(
        f"{METRICS[name].text(values[name]) if name in values else '-':>18}" for name in columns
    )


def _rollback(rollback: Rollback) -> Iterator[str]:
    yield f"version {rollback.version} restored {rollback.restored}"
    yield f"  {rollback.sentence()}"
    if rollback.withdrawn:
        yield f"  withdrawn: {listing(str(each.version) for each in rollback.withdrawn)}"


def _named(rollback: Rollback) -> set[int]:
    withdrawn = (each.version for each in rollback.withdrawn)
    return {rollback.version, rollback.restored, *withdrawn}


def _pushed(model: Model) -> str:
    return f"pushed {_minute(model.pushed)} UTC" if model.pushed else "pushed at an unknown time"


def _minute(moment: datetime.datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"


def _size(count: int) -> str:
    return f"{count / _MEGABYTE:,.1f} MB"
