"""Publishes an older version again, as the newest, and records what was taken back and why."""

from __future__ import annotations

import datetime
import getpass
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from components.contracts.pushed_models import (
    CLAIM_FILE,
    DamagedVersion,
    PushedVersion,
    all_versions,
    next_location,
    push_model,
    version_numbers,
)
from components.contracts.rollbacks import (
    ROLLBACK_FILE,
    Rollback,
    Withdrawn,
    previous_version,
    rollbacks_at,
    withdrawal_of,
    write_rollback,
)
from components.contracts.saved_models import check_files
from components.support.errors import DeploymentError
from components.support.file_systems import local_copy
from pipeline.commands.models.pins import missing

Version = PushedVersion | DamagedVersion


def roll_back(destination: str, version: int | None, *, by: str, reason: str) -> Rollback:
    """Makes the files of an older version the newest version.

    Args:
        destination: the push destination.
        version: the version to restore; None takes the previous one, see `previous_version`.
        by: who does it.
        reason: why.

    Returns:
        The record of it, which is in the new version as well.

    Raises:
        DeploymentError: there is nothing to restore, it is damaged or served already, or somebody
            else pushed or rolled back at the same moment.
    """
    known = version_numbers(destination)
    versions = list(all_versions(destination))
    rollbacks = rollbacks_at(destination)
    restored = _chosen(destination, version, versions, rollbacks)
    location = next_location(destination)
    rollback = Rollback(
        version=int(location.rpartition("/")[2]),
        restored=restored.version,
        recipe=restored.description.recipe,
        withdrawn=tuple(_withdrawn(restored, versions, rollbacks)),
        at=utc_now(),
        by=by,
        reason=reason,
    )

    def check(place: str) -> None:
        others = version_numbers(destination) - known - {int(place.rpartition("/")[2])}
        if others or place != location:
            raise DeploymentError(
                f"Expected nobody else to push or roll back at {destination} at the same moment. "
                f"Received: version {max(others, default=rollback.version)}. Nothing was rolled "
                "back. See what is served with `covers models list`, then decide again."
            )

    try:
        _publish(restored, rollback, destination, location, check)
    except (OSError, DeploymentError) as error:
        if restored.version in version_numbers(destination):
            raise
        raise DeploymentError(
            f"Expected version {restored.version} at {destination} until it was restored. "
            "Received: somebody deleted it meanwhile. Nothing was rolled back. See what there is "
            "with: covers models list"
        ) from error
    return rollback


def _publish(
    restored: PushedVersion,
    rollback: Rollback,
    destination: str,
    location: str,
    check: Callable[[str], None],
) -> None:
    """Pushes the files of a version again, with the record of the rollback."""
    with (
        local_copy(restored.location) as files,
        tempfile.TemporaryDirectory(prefix="covers-") as scratch,
    ):
        check_files(files, restored.description.files)
        model = Path(scratch) / "model"
        # Links take no room: the push copies what they lead to.
        shutil.copytree(files.resolve(), model, copy_function=_link)
        for name in (ROLLBACK_FILE, CLAIM_FILE):  # those of the restored version stay there
            (model / name).unlink(missing_ok=True)
        write_rollback(model, rollback)
        push_model(model, destination, location, check=check)


def utc_now() -> str:
    """Returns the time as records have it: ISO 8601, UTC, in seconds."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def whoever_runs_this() -> str:
    """Returns `user@host`; the number of a user that the machine has no name for."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _link(source: str, link: str) -> None:
    Path(link).symlink_to(source)


def _chosen(
    destination: str,
    version: int | None,
    versions: Sequence[Version],
    rollbacks: Sequence[Rollback],
) -> PushedVersion:
    if version is None:
        previous = previous_version(versions, rollbacks)
        if previous is None:
            remedy = (
                "Name one: covers rollback VERSION; see them with: covers models list"
                if len(versions) > 1
                else "Push another model first: covers run"
            )
            raise DeploymentError(
                f"Expected an older version to restore at {destination}. Received: "
                f"{len(versions) or 'no'} version{'' if len(versions) == 1 else 's'}, none of them "
                f"a whole one of another model that was not withdrawn. {remedy}"
            )
        return previous
    chosen = next((each for each in versions if each.version == version), None)
    if chosen is None:
        raise missing(destination, version)
    if isinstance(chosen, DamagedVersion):
        raise DeploymentError(
            f"Expected a whole version to restore. Received: {chosen.location}, where "
            f"{chosen.damage}. Name another one; see them with: covers models list"
        )
    newest = versions[0]
    if isinstance(newest, PushedVersion) and newest.description.recipe == chosen.description.recipe:
        same = (
            "" if newest is chosen else f", the same model as the newest version {newest.version}"
        )
        raise DeploymentError(
            f"Expected a version that is not served already. Received: {version}{same}. See the "
            "others with: covers models list"
        )
    return chosen


def _withdrawn(
    restored: PushedVersion, versions: Sequence[Version], rollbacks: Sequence[Rollback]
) -> list[Withdrawn]:
    """Lists the other models above the restored one, but those that were taken back before.

    The damage of a version is not its model's fault, which a run may push again.
    """
    return [
        Withdrawn(version.version, version.description.recipe)
        for version in versions
        if version.version > restored.version
        and isinstance(version, PushedVersion)
        and version.description.recipe != restored.description.recipe
        and not withdrawal_of(version.description.recipe, rollbacks)
    ]
