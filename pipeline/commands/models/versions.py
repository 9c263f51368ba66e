"""What is known about each pushed version."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import math
from collections.abc import Mapping
from typing import Any

from components.contracts.metrics import RUN_COLUMNS
from components.contracts.model_card import MODEL_CARD_FILE
from components.contracts.notes import read_bytes
from components.contracts.pushed_models import DamagedVersion, PushedVersion, all_versions
from components.contracts.records import UNREADABLE
from components.contracts.rollbacks import Rollback, previous_version, rollbacks_at, withdrawal_of
from components.contracts.saved_models import find_damage
from components.contracts.signatures import ModelDescription
from components.support.errors import DeploymentError
from components.support.file_systems import local_copy, open_file_system, store_errors
from pipeline.commands.models.pins import Pin, missing, pins_at

_LARGEST_CARD = 32 << 20
# Numbers that a push gives are milliseconds of these years.
_FIRST_YEAR, _LAST_YEAR = 2000, 2200


@dataclasses.dataclass(frozen=True)
class Model:
    """A pushed version.

    Attributes:
        location: its path or URL.
        description: what the model says of itself; None if the version is damaged.
        recipe: that of the model; empty if it cannot be read.
        damage: what is damaged; empty if it is whole.
        is_served: whether it is the newest whole version.
        restored: the rollback that published it, or None.
        withdrawn: the rollback that took its model back, or None.
        pin: why it is kept, or None.
        card: the model card, or an empty mapping.
        files: file -> bytes.
    """

    location: str
    description: ModelDescription | None
    recipe: str
    damage: str
    is_served: bool
    restored: Rollback | None
    withdrawn: Rollback | None
    pin: Pin | None
    card: Mapping[str, Any]
    files: Mapping[str, int]

    @property
    def version(self) -> int:
        """The version number."""
        return int(self.location.rpartition("/")[2])

    @property
    def pushed(self) -> datetime.datetime | None:
        """When it was pushed, in UTC; None if its number does not tell."""
        try:
            moment = datetime.datetime.fromtimestamp(self.version / 1000, datetime.timezone.utc)
        except (OverflowError, ValueError, OSError):
            return None
        return moment if _FIRST_YEAR <= moment.year < _LAST_YEAR else None

    @property
    def bytes(self) -> int:
        """The size of its files."""
        return sum(self.files.values())

    @property
    def genres(self) -> tuple[str, ...]:
        """The genres that it knows; empty if it is damaged."""
        return self.description.genres if self.description else ()

    @property
    def state(self) -> str:
        """The first that is true of: damaged, served, withdrawn, pinned, restored, kept."""
        names = {
            "damaged": self.damage,
            "served": self.is_served,
            "withdrawn": self.withdrawn,
            "pinned": self.pin,
            "restored": self.restored,
        }
        return next((name for name, is_true in names.items() if is_true), "kept")

    @functools.cached_property
    def thresholds(self) -> dict[str, float]:
        """Genre -> the probability from which it is decided; empty if the version is damaged."""
        if self.description is None:
            return {}
        return dict(zip(self.description.genres, self.description.thresholds, strict=True))

    def metrics(self, genre: str | None = None) -> dict[str, float]:
        """Returns the metrics on the test covers from the model card, overall or of a genre."""
        return self._metrics_by_genre.get(genre, {})

    @functools.cached_property
    def _metrics_by_genre(self) -> dict[str | None, dict[str, float]]:
        found: dict[str | None, dict[str, float]] = {}
        try:
            for metric in self.card["quantitative_analysis"]["performance_metrics"]:
                value = float(metric["value"])
                if math.isfinite(value):
                    found.setdefault(metric.get("slice"), {})[str(metric["type"])] = value
        except UNREADABLE:  # a card that somebody wrote by hand
            return found
        return found

    def to_dict(self) -> dict[str, Any]:
        """Returns what a list of versions says, ready for JSON."""
        metrics = self.metrics()
        return {
            "version": self.version,
            "location": self.location,
            "pushed": self.pushed.isoformat(timespec="seconds") if self.pushed else None,
            "state": self.state,
            "damage": self.damage or None,
            "served": self.is_served,
            "restored": self.restored.to_dict() if self.restored else None,
            "withdrawn": self.withdrawn.to_dict() if self.withdrawn else None,
            "pin": self.pin.to_dict() if self.pin else None,
            "recipe": self.recipe,
            "genres": list(self.genres),
            "metrics": {name: metrics.get(name) for name in RUN_COLUMNS},
            "bytes": self.bytes,
        }


@dataclasses.dataclass(frozen=True)
class Models:
    """The pushed versions at a destination, newest first, and all rollbacks there.

    Attributes:
        destination: the push destination.
        models: the versions.
        rollbacks: the rollbacks, newest first.
        previous: what a rollback would restore, or None.
    """

    destination: str
    models: tuple[Model, ...]
    rollbacks: tuple[Rollback, ...]
    previous: int | None

    @property
    def served(self) -> Model:
        """The version that is served.

        Raises:
            DeploymentError: there is none.
        """
        found = next((model for model in self.models if model.is_served), None)
        if found is None:
            received = f"{len(self.models)} damaged" if self.models else "none"
            raise DeploymentError(
                f"Expected a whole pushed model at {self.destination}. Received: {received}. Run "
                "the pipeline with: covers run"
            )
        return found

    def __getitem__(self, version: int) -> Model:
        """Returns a version.

        Raises:
            DeploymentError: it is not there.
        """
        for model in self.models:
            if model.version == version:
                return model
        raise missing(self.destination, version)


def read_models(destination: str) -> Models:
    """Returns what is known about the versions at a push destination.

    Raises:
        ConfigError: no installed package can open the destination.
        DeploymentError: the destination, a record of a rollback or a pin cannot be read.
    """
    versions = list(all_versions(destination))
    rollbacks = rollbacks_at(destination)
    pins = pins_at(destination)
    published = {rollback.version: rollback for rollback in rollbacks}
    whole = [version for version in versions if isinstance(version, PushedVersion)]
    models = []
    for version in versions:
        damaged = version if isinstance(version, DamagedVersion) else None
        description = None if isinstance(version, DamagedVersion) else version.description
        recipe = description.recipe if description else damaged.recipe if damaged else ""
        withdrawal = withdrawal_of(recipe, rollbacks) if recipe else None
        models.append(
            Model(
                location=version.location,
                description=description,
                recipe=recipe,
                damage=damaged.damage if damaged else "",
                is_served=bool(whole) and version is whole[0],
                restored=published.get(version.version),
                withdrawn=withdrawal[1] if withdrawal else None,
                pin=pins.get(version.version),
                card=_card(version.location),
                files=_files(version.location),
            )
        )
    previous = previous_version(versions, rollbacks)
    return Models(
        destination, tuple(models), tuple(rollbacks), previous.version if previous else None
    )


def with_checked_files(model: Model) -> Model:
    """Returns a version whose files were compared with what was exported; they are all read.

    Raises:
        DeploymentError: the destination cannot be read.
    """
    if model.description is None or model.damage:
        return model
    with local_copy(model.location) as files:
        return dataclasses.replace(model, damage=find_damage(files, model.description.files))


def _files(location: str) -> dict[str, int]:
    file_system, folder = open_file_system(location)
    with store_errors(location):
        found = file_system.find(folder, detail=True)
    prefix = file_system._strip_protocol(folder) + "/"
    return {name.removeprefix(prefix): int(facts["size"]) for name, facts in sorted(found.items())}


def _card(location: str) -> Mapping[str, Any]:
    content = read_bytes(f"{location}/{MODEL_CARD_FILE}", _LARGEST_CARD)
    try:
        card = json.loads(content or b"{}", parse_constant=_refuse)
    except UNREADABLE:
        return {}
    return card if isinstance(card, dict) else {}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
