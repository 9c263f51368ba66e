"""Proposes the genres that labels name, and says what was divided and what kept whole."""

from __future__ import annotations

import dataclasses
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from components.contracts.genre_names import spelling

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LIST_SEPARATORS = (";", ",")
_DOUBTFUL_SEPARATORS = ("/", r"\s")
_SAYS_NOTHING = frozenset(
    {
        "",
        "-",
        "--",
        "?",
        "na",
        "nan",
        "nil",
        "no",
        "nogenre",
        "none",
        "notset",
        "null",
        "other",
        "tba",
        "tbd",
        "undefined",
        "unknown",
        "unlabeled",
        "unlabelled",
        "unspecified",
        "untagged",
    }
)


@dataclasses.dataclass(frozen=True)
class ProposedGenres:
    """The genres of some labels.

    Attributes:
        counts: genre -> number of rows that name it, most frequent first.
        divided: texts that name several genres, and the genres.
        whole: texts that could have been divided at a comma, slash or space and were not, as
            their parts do not occur by themselves.
        doubtful: genres that look like "no genre".
    """

    counts: Counter[str]
    divided: tuple[tuple[str, tuple[str, ...]], ...]
    whole: tuple[str, ...]
    doubtful: tuple[str, ...]


def propose_genres(
    labels: Iterable[tuple[Sequence[str], bool]], known: Iterable[str] = ()
) -> ProposedGenres:
    """Proposes genres.

    A text is divided at `;` and `,`, except between parts that never occur apart, such as those of
    "Folk, World, & Country"; and at `/` and white space only where each part occurs by itself or is
    a known genre.

    Args:
        labels: for each row the names as given, and whether they were given one by one.
        known: names of genres whatever the labels.
    """
    rows = [(tuple(map(_normal, names)), listed) for names, listed in labels]
    texts = Counter(name for names, listed in rows if not listed for name in names)
    single = {*known, *(name for names, listed in rows if listed for name in names)}
    parts: dict[str, tuple[str, ...]] = {text: (text,) for text in texts}
    for separator in _LIST_SEPARATORS:
        parts = _divide_lists(parts, separator)
    are_lists = any(len(found) > 1 for found in parts.values()) or any(
        len(names) > 1 and not listed for names, listed in rows
    )
    for separator in _DOUBTFUL_SEPARATORS:
        if separator == "/" or not are_lists:
            parts = _divide_doubtful(parts, separator, single)
    counts: Counter[str] = Counter()
    written: dict[str, Counter[str]] = defaultdict(Counter)
    for names, listed in rows:
        found = [part for name in names for part in ((name,) if listed else parts[name])]
        counts.update({spelling(name) or name for name in found})
        for name in found:
            written[spelling(name) or name][name] += 1
    shown = {key: _most_frequent(names) for key, names in written.items()}
    named = Counter({shown[key]: count for key, count in counts.items()})
    whole = sorted(
        {part for found in parts.values() for part in found if re.search(r"[;,/\s]", part)}
    )
    return ProposedGenres(
        Counter(dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))),
        tuple((text, found) for text, found in sorted(parts.items()) if len(found) > 1),
        tuple(whole),
        tuple(name for name in named if spelling(name) in _SAYS_NOTHING),
    )


def _divide_lists(parts: dict[str, tuple[str, ...]], separator: str) -> dict[str, tuple[str, ...]]:
    """Divides at a separator of lists, but not between parts that never occur apart."""
    pieces = {text: [_pieces(part, separator) for part in found] for text, found in parts.items()}
    lists = {tuple(each) for found in pieces.values() for each in found}
    alone = Counter(spelling(piece) for each in lists for piece in each)
    together = Counter(
        (spelling(left), spelling(right))
        for each in lists
        for left, right in itertools.pairwise(each)
    )

    def join(each: Sequence[str]) -> list[str]:
        joined = list(each[:1])
        for left, right in itertools.pairwise(each):
            pair = (spelling(left), spelling(right))
            if alone[pair[0]] == alone[pair[1]] == together[pair]:
                joined[-1] += f"{separator} {right}"
            else:
                joined.append(right)
        return joined

    return {
        text: tuple(part for each in found for part in join(each)) or (text,)
        for text, found in pieces.items()
    }


def _divide_doubtful(
    parts: dict[str, tuple[str, ...]], separator: str, known: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Divides at a separator that names hold as well, where each part occurs by itself."""
    occurring = [part for found in parts.values() for part in found]
    alone = {
        spelling(name) for name in (*known, *occurring) if len(_pieces(name, separator)) == 1
    } - {""}

    def divide(part: str) -> Sequence[str]:
        found = _pieces(part, separator)
        if separator != "/" and spelling(part) in alone:
            return (part,)
        return found if all(spelling(piece) in alone for piece in found) else (part,)

    return {
        text: tuple(piece for part in found for piece in divide(part)) or (text,)
        for text, found in parts.items()
    }


def _pieces(text: str, separator: str) -> list[str]:
    return [piece for piece in map(str.strip, re.split(separator, text)) if piece]


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(_CONTROL.sub(" ", name).split()))


def _most_frequent(names: Counter[str]) -> str:
    return min(names, key=lambda name: (-names[name], name))
