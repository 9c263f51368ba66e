"""Did-you-mean: the known name that a person probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that is most like `name`, whatever the case; None if none is."""
    by_spelling: dict[str, str] = {}
    for each in known:
        by_spelling.setdefault(each.casefold(), each)
    found = difflib.get_close_matches(name.casefold(), by_spelling, n=1)
    return by_spelling[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean NAME?" to end a message with; empty if no known name is like it."""
    found = closest(name, known)
    return f" Did you mean {found}?" if found else ""
