"""Texts for people: short enough to be read, and harmless to the terminal that shows them.

What a file name, a manifest, a schema or a library says is quoted in messages. It may be of any
length, and it may hold sequences that a terminal obeys, or that make text read otherwise than it is
written.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable

LONGEST_VALUE = 300
LONGEST_LINE = 2000
MOST_NAMED = 12

# Control characters, line separators, those that turn the direction of text, and halves of pairs,
# which stand for bytes that are not UTF-8.
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Returns a text in one line, with what a terminal would obey escaped, such as `\x1b`."""
    return text if text.isprintable() else _UNPRINTABLE.sub(_escaped, text)


def shortened(text: str, most: int = LONGEST_VALUE) -> str:
    """Returns a text of at most about `most` characters: its beginning and its end."""
    if len(text) <= most:
        return text
    end = most // 3
    left_out = len(text) - most
    return f"{text[: most - end]} [... {left_out:,} characters left out ...] {text[-end:]}"


def line_for_people(text: str) -> str:
    """Returns a text as one line that can be shown: printable and of bounded length."""
    return shortened(printable(text), LONGEST_LINE)


def message_for_people(text: str) -> str:
    """Returns a text of several lines, each as `line_for_people` returns it."""
    return "\n".join(map(line_for_people, text.split("\n")))


def first_few(names: Iterable[object], most: int = MOST_NAMED) -> str:
    """Returns the first names as a list to be read, and how many more there are."""
    names = names if isinstance(names, Collection) else list(names)
    named = ", ".join(map(str, itertools.islice(names, most)))
    return f"{named} and {len(names) - most:,} more" if len(names) > most else named


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return match[0].encode("unicode_escape").decode("ascii")
