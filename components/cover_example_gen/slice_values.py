"""The values of slice columns: from what the rows say to what an example holds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

SliceValues = tuple[tuple[str, tuple[str, ...]], ...]
"""Column and its values, sorted; a column without a value is absent."""

LONGEST_VALUE = 100

# Control characters, and the halves of surrogate pairs that stand for bytes that are not UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def united_values(rows: Iterable[Iterable[tuple[str, str]]]) -> SliceValues:
    """Returns the distinct values of each column over the rows of one cover.

    Args:
        rows: column and value, as given, of each row.
    """
    found: dict[str, set[str]] = {}
    for row in rows:
        for column, given in row:
            if value := normalised(given):
                found.setdefault(column, set()).add(value)
    return tuple((column, tuple(sorted(values))) for column, values in sorted(found.items()))


def normalised(text: str) -> str:
    """Returns a text in Unicode's form NFC, with single spaces and at most `LONGEST_VALUE` long."""
    text = " ".join(unicodedata.normalize("NFC", _UNPRINTABLE.sub(" ", text)).split())
    if len(text) > LONGEST_VALUE:
        text = text[: LONGEST_VALUE - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return text
