"""Which pushed versions are deleted, and which are kept whatever happens."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

from components.contracts.rollbacks import keep_rollback
from components.support.errors import DeploymentError
from pipeline.commands.models.deletion import abandoned_uploads, delete_version, finish_deletions
from pipeline.commands.models.pins import pins_at
from pipeline.commands.models.versions import Model, Models, read_models, with_checked_files


@dataclasses.dataclass(frozen=True)
class PrunedModels:
    """What was, or would be, deleted.

    Attributes:
        destination: the push destination.
        deleted: the versions, newest first.
        kept: version -> why it is kept, newest first.
        damaged: version -> what is damaged, of those that are kept.
        abandoned: versions of which only a part was uploaded, a day ago or earlier, and which
            nobody sees; deleted as well.
        dry_run: whether nothing was deleted.
    """

    destination: str
    deleted: tuple[Model, ...]
    kept: dict[int, str]
    damaged: dict[int, str]
    abandoned: tuple[int, ...]
    dry_run: bool

    @property
    def freed(self) -> int:
        """How many bytes that frees."""
        return sum(model.bytes for model in self.deleted)

    def to_dict(self) -> dict[str, Any]:
        """Returns what was deleted ready for JSON."""
        return {
            "destination": self.destination,
            "dry_run": self.dry_run,
            "deleted": [model.version for model in self.deleted],
            "kept": {str(version): why for version, why in self.kept.items()},
            "damaged": {str(version): damage for version, damage in self.damaged.items()},
            "abandoned": list(self.abandoned),
            "freed_bytes": self.freed,
        }


def prune_models(destination: str, keep: int, *, dry_run: bool = False) -> PrunedModels:
    """Deletes old versions.

    Kept are the newest whole ones, whose files are as they were exported, what is newer than
    these, the version that a rollback would restore, and those that are pinned.

    Args:
        destination: the push destination.
        keep: how many whole versions to keep, at least one.
        dry_run: whether only to look.

    Raises:
        DeploymentError: the destination cannot be read or written.
    """
    if not dry_run:
        finish_deletions(destination)
    abandoned = abandoned_uploads(destination)
    if not dry_run:
        for version in abandoned:
            delete_version(destination, version)
    found = read_models(destination)
    kept = dict(_kept(found, keep))
    deleted = [model for model in found.models if model.version not in kept]
    if not dry_run:
        oldest_first = deleted[::-1]
        deleted = [model for model in oldest_first if _delete(destination, model)][::-1]
        kept |= {
            model.version: "pinned meanwhile" for model in oldest_first if model not in deleted
        }
    damaged = {
        model.version: model.damage
        for model in found.models
        if model.damage and model not in deleted
    }
    return PrunedModels(destination, tuple(deleted), kept, damaged, abandoned, dry_run)


def _kept(found: Models, keep: int) -> Iterator[tuple[int, str]]:
    # One that a server would refuse does not stand for the older one that it serves instead.
    whole = itertools.islice(filter(_has_its_files, found.models), keep)
    oldest = min((model.version for model in whole), default=0)
    for model in found.models:
        if model.is_served:
            yield model.version, "served"
        elif model.version >= oldest:
            newest = "not older than the newest" if model.damage else "one of the newest"
            yield model.version, f"{newest} {keep}"
        elif model.version == found.previous:
            yield model.version, "a rollback would restore it"
        elif model.pin:
            yield model.version, f"pinned by {model.pin.by}: {model.pin.reason}"


def _has_its_files(model: Model) -> bool:
    try:
        return model.description is not None and not with_checked_files(model).damage
    except DeploymentError:
        return False


def _delete(destination: str, model: Model) -> bool:
    """Deletes a version, unless it has just been pinned."""
    if model.version in pins_at(destination):
        return False
    if model.restored:
        keep_rollback(destination, model.restored)
    delete_version(destination, model.version)
    return True
