"""Which pushed models were taken back, when, by whom and why.

A rollback publishes the files of an older version again, as the newest. Its record is a file in the
new version, `assets.extra/rollback.json`. Before a version with a record is deleted, the record is
kept in `.rollbacks/VERSION.json` at the destination. Of two records that name a recipe, the newer
one counts.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.contracts.notes import note_location, note_numbers, read_note, write_note
from components.contracts.pushed_models import DamagedVersion, PushedVersion, version_numbers
from components.contracts.records import write_record
from components.support.errors import ModelNotBlessed
from components.support.texts import shortened

ROLLBACK_FILE = "assets.extra/rollback.json"
FORMAT_VERSION = 1

_KEPT = ".rollbacks"
_EXPECTED = "the record of a rollback"


@dataclasses.dataclass(frozen=True)
class Withdrawn:
    """A version that a rollback took back, and the recipe of its model."""

    version: int
    recipe: str


@dataclasses.dataclass(frozen=True)
class Rollback:
    """One rollback.

    Attributes:
        version: the new version that it published.
        restored: the version whose files these are.
        recipe: the recipe of that model.
        withdrawn: what was served until then, and other models newer than the restored version,
            unless they had been withdrawn before; newest first.
        at: when, in ISO 8601, UTC.
        by: who did it.
        reason: why.
    """

    version: int
    restored: int
    recipe: str
    withdrawn: tuple[Withdrawn, ...]
    at: str
    by: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the rollback ready for JSON."""
        return dataclasses.asdict(self)

    def sentence(self) -> str:
        """Returns when, by whom and why, to follow what was done."""
        return f"{when(self.at)} by {self.by}: {self.reason}"


def when(at: str) -> str:
    """Returns a moment of a record, in ISO 8601, as people read it; as it is if it is none."""
    try:
        moment = datetime.datetime.fromisoformat(at).astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError):
        return f"at {at}"
    return f"on {moment:%Y-%m-%d %H:%M} UTC"


def write_rollback(model_dir: Path, rollback: Rollback) -> None:
    """Writes the record to its place below the folder that is to be the new version."""
    write_record(model_dir / ROLLBACK_FILE, FORMAT_VERSION, _fields(rollback))


def keep_rollback(destination: str, rollback: Rollback) -> None:
    """Keeps the record of a version that is about to be deleted.

    Raises:
        DeploymentError: the destination cannot be written.
    """
    write_note(_kept(destination, rollback.version), FORMAT_VERSION, _fields(rollback))


def rollbacks_at(destination: str) -> list[Rollback]:
    """Returns all rollbacks at a push destination, newest first.

    Raises:
        ConfigError: no installed package can open the destination.
        DeploymentError: the destination or a record cannot be read.
    """
    kept = set(note_numbers(f"{destination.rstrip('/')}/{_KEPT}"))
    numbers = sorted({*version_numbers(destination), *kept}, reverse=True)
    found = (
        read_rollback(destination, number)
        or (_read(_kept(destination, number), number) if number in kept else None)
        for number in numbers
    )
    return [rollback for rollback in found if rollback]


def read_rollback(destination: str, version: int) -> Rollback | None:
    """Returns the record in a version, or None if no rollback published it.

    Raises:
        DeploymentError: it cannot be read.
    """
    return _read(f"{destination.rstrip('/')}/{version}/{ROLLBACK_FILE}", version)


def withdrawal_of(recipe: str, rollbacks: Iterable[Rollback]) -> tuple[Withdrawn, Rollback] | None:
    """Returns the version of a recipe that was taken back, and by which rollback.

    Args:
        recipe: the recipe of a model.
        rollbacks: all rollbacks at the destination, newest first.

    Returns:
        None if the recipe was never taken back, or was restored since.
    """
    for rollback in rollbacks:
        if rollback.recipe == recipe:
            return None
        for withdrawn in rollback.withdrawn:
            if withdrawn.recipe == recipe:
                return withdrawn, rollback
    return None


def withdrawn_recipes(rollbacks: Iterable[Rollback]) -> frozenset[str]:
    """Returns the recipes that were taken back and not restored since.

    Args:
        rollbacks: all rollbacks at the destination, newest first.
    """
    rollbacks = list(rollbacks)
    named = {each.recipe for rollback in rollbacks for each in rollback.withdrawn}
    return frozenset(recipe for recipe in named if withdrawal_of(recipe, rollbacks))


def previous_version(
    versions: Sequence[PushedVersion | DamagedVersion], rollbacks: Sequence[Rollback]
) -> PushedVersion | None:
    """Returns what a rollback without a version would restore, or None.

    It is the newest whole version older than the newest of all, of another recipe, that was not
    taken back.

    Args:
        versions: all versions, newest first.
        rollbacks: all rollbacks, newest first.
    """
    if not versions:
        return None
    served, *older = versions
    recipe = served.description.recipe if isinstance(served, PushedVersion) else None
    for version in older:
        if (
            isinstance(version, PushedVersion)
            and version.description.recipe != recipe
            and not withdrawal_of(version.description.recipe, rollbacks)
        ):
            return version
    return None


def refuse_withdrawn(recipe: str, destination: str) -> None:
    """Raises if the model of a recipe was taken back.

    Raises:
        ModelNotBlessed: it was, and why.
        DeploymentError: the destination cannot be read.
    """
    found = withdrawal_of(recipe, rollbacks_at(destination))
    if found is None:
        return
    withdrawn, rollback = found
    if withdrawn.version in version_numbers(destination):
        remedy = (
            f"To serve it again: covers rollback {withdrawn.version} --destination {destination} "
            "--reason TEXT"
        )
    else:
        remedy = "That version was deleted since: train another model."
    raise ModelNotBlessed(
        f"Expected a model that was not taken back. Received: version {withdrawn.version} of this "
        f"recipe was withdrawn {shortened(rollback.sentence())}. {remedy}"
    )


def _kept(destination: str, version: int) -> str:
    return note_location(f"{destination.rstrip('/')}/{_KEPT}", version)


def _read(location: str, version: int) -> Rollback | None:
    def from_dict(fields: Mapping[str, Any]) -> Rollback:
        return Rollback(
            version=version,
            restored=int(fields["restored"]),
            recipe=str(fields["recipe"]),
            withdrawn=tuple(
                Withdrawn(int(each["version"]), str(each["recipe"])) for each in fields["withdrawn"]
            ),
            at=str(fields["at"]),
            by=str(fields["by"]),
            reason=str(fields["reason"]),
        )

    return read_note(location, FORMAT_VERSION, _EXPECTED, from_dict)


def _fields(rollback: Rollback) -> dict[str, Any]:
    # The name of the folder or file says which version it is.
    return {name: value for name, value in rollback.to_dict().items() if name != "version"}
