"""Amounts as Kubernetes writes them, and lengths of time."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "m": 1e-3}
_BINARY_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z]*)")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)([smhd])")
_LONGEST = 2**31 - 1  # the format counts seconds in 32 bits


def quantity(text: str) -> float:
    """Returns the number that a Kubernetes quantity such as `500m`, `2` or `4Gi` stands for.

    Raises:
        ValueError: it is not a quantity.
    """
    match = _QUANTITY.fullmatch(text)
    unit = {**_UNITS, **_BINARY_UNITS}.get(match[2]) if match else None
    if match is None or unit is None:
        raise ValueError(
            f"Expected a Kubernetes quantity, such as 500m, 2 or 4Gi. Received: {text}"
        )
    return float(match[1]) * unit


def seconds(text: str) -> int:
    """Returns the seconds that a length of time such as `90s`, `30m`, `12h` or `7d` stands for.

    Raises:
        ValueError: it is not one, or it is none or too long for the back end.
    """
    match = _DURATION.fullmatch(text)
    count = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 1 <= count <= _LONGEST:
        raise ValueError(
            f"Expected a length of time, such as 90s, 30m, 12h or 7d. Received: {text}"
        )
    return count


def _check_quantity(text: str) -> str:
    quantity(text)
    return text


def _check_duration(text: str) -> str:
    seconds(text)
    return text


Quantity = Annotated[str, AfterValidator(_check_quantity)]
Duration = Annotated[str, AfterValidator(_check_duration)]
