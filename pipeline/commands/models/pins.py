"""Pins: pushed versions that are not to be deleted, each named by one small file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from components.contracts.notes import (
    note_location,
    note_numbers,
    read_note,
    remove_note,
    write_note,
)
from components.contracts.pushed_models import version_numbers
from components.support.errors import DeploymentError

FORMAT_VERSION = 1

_FOLDER = ".pins"  # no number: TensorFlow Serving passes it over


@dataclasses.dataclass(frozen=True)
class Pin:
    """Why a version is kept.

    Attributes:
        version: the version.
        at: when it was pinned, in ISO 8601, UTC.
        by: who did it.
        reason: why.
    """

    version: int
    at: str
    by: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the pin ready for JSON."""
        return dataclasses.asdict(self)


def pins_at(destination: str) -> dict[int, Pin]:
    """Returns version -> its pin.

    Raises:
        DeploymentError: the destination or a pin cannot be read.
    """
    numbers = note_numbers(f"{destination}/{_FOLDER}")
    pins = {
        number: read_note(_place(destination, number), FORMAT_VERSION, "a pin", _pin)
        for number in numbers
    }
    return {number: pin for number, pin in pins.items() if pin}


def pin_version(destination: str, pin: Pin) -> None:
    """Pins a version; a new pin replaces the one before.

    Raises:
        DeploymentError: there is no such version, or the destination cannot be written.
    """
    if pin.version not in version_numbers(destination):
        raise missing(destination, pin.version)
    write_note(_place(destination, pin.version), FORMAT_VERSION, pin.to_dict())


def unpin_version(destination: str, version: int) -> Pin:
    """Removes the pin of a version, and returns it.

    Raises:
        DeploymentError: there is none.
    """
    pin = pins_at(destination).get(version)
    if pin is None:
        raise DeploymentError(
            f"Expected a pinned version at {destination}. Received: {version}, which has no pin. "
            "See them with: covers models list"
        )
    remove_note(_place(destination, version))
    return pin


def missing(destination: str, version: int) -> DeploymentError:
    """Returns the error for a version that is not there."""
    return DeploymentError(
        f"Expected a version at {destination}. Received: {version}, which is not there. See them "
        "with: covers models list"
    )


def _place(destination: str, version: int) -> str:
    return note_location(f"{destination}/{_FOLDER}", version)


def _pin(fields: Mapping[str, Any]) -> Pin:
    return Pin(int(fields["version"]), *(str(fields[name]) for name in ("at", "by", "reason")))
