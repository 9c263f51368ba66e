"""Genre names as people write them: which spellings are one name, and which names a text holds."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from components.support.texts import MOST_NAMED, first_few

GENRE_SEPARATOR = "|"
"""Stands between genres in a manifest, whatever their names; no name may hold it."""

_LIST_SEPARATORS = ";,/；，／、،؛"  # noqa: RUF001  # As typed in Chinese, Japanese, Arabic.
_LIST_SEPARATOR = re.compile(f"[{_LIST_SEPARATORS}]")
_SAME_SEPARATOR = str.maketrans("；，／、،؛", ";,/,,;")  # noqa: RUF001
_SEPARATORS = rf"\s&+＆＋{_LIST_SEPARATORS}"  # noqa: RUF001
_NO_LETTER_ASCII = re.compile(r"[^a-z0-9]+")
_LOOKS_LISTED = re.compile("[;,；，、،؛]")  # noqa: RUF001
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


@functools.lru_cache(maxsize=4096)
def spelling(name: str) -> str:
    """Returns what matters of a genre name: its letters with their marks, and its digits.

    Names of the same spelling are the same genre: case, white space and punctuation do not
    matter, nor does how an accented or a full-width letter is encoded. In a name without letters
    and digits, such as "!!!", all that is visible matters. Empty if nothing is.
    """
    return _letters(name) or _visible(name)


def _letters(name: str) -> str:
    if name.isascii():
        return _NO_LETTER_ASCII.sub("", name.lower())
    kept: list[str] = []
    is_letter = False
    for character in _VARIATION_SELECTORS.sub("", _folded(name)):
        category = unicodedata.category(character)[0]
        # A mark belongs to what it stands on: of a letter it is a part, of a symbol it is not.
        is_letter = category in "LN" or (category == "M" and is_letter)
        if is_letter:
            kept.append(character)
    return "".join(kept)


def _visible(name: str) -> str:
    # Categories Cn and Co are kept: they hold symbols newer than the Unicode of this Python.
    return "".join(
        character
        for character in _VARIATION_SELECTORS.sub("", _folded(name))
        if not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf", "Cs")
    )


def _folded(name: str) -> str:
    """Returns a text without differences of case and encoding (Unicode's NFKC_Casefold)."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return folded.replace("i\u0307", "i")  # what Turkish İ becomes


def listing(names: Iterable[str], most: int = MOST_NAMED) -> str:
    """Returns names as a list to be read; a name that looks like a list itself is quoted.

    Args:
        names: the names.
        most: how many are named; the rest is counted.
    """
    return first_few([f'"{name}"' if _LOOKS_LISTED.search(name) else name for name in names], most)


class FoundGenres(NamedTuple):
    """What a text names.

    Attributes:
        known: known genres, in the order of the text.
        unknown: parts of the text that are none, as given.
    """

    known: tuple[str, ...]
    unknown: tuple[str, ...]


class GenreNames:
    """The names of known genres, to be found in texts.

    Args:
        genres: names of different spelling.
    """

    def __init__(self, genres: Sequence[str]) -> None:
        self._by_spelling = {spelling(genre): genre for genre in genres}
        self._beginnings = {
            spelled[:end] for spelled in self._by_spelling for end in range(1, len(spelled) + 1)
        }
        self._separators = {genre: Counter(_list_separators(genre)) for genre in genres}
        self._word = _word_pattern([genre for genre in genres if not _letters(genre)])

    def match(self, name: str) -> str | None:
        """Returns the genre that `name` spells as a whole, or None."""
        return self._by_spelling.get(spelling(name))

    def find_all(self, names: Iterable[str], *, listed: bool) -> FoundGenres:
        """Finds the genres of a row.

        Args:
            names: as given.
            listed: whether they were given one by one: none is divided.
        """
        known: list[str] = []
        unknown: list[str] = []
        for name in names:
            found = self._whole(name) if listed else self.find(name)
            known += found.known
            unknown += found.unknown
        return FoundGenres(tuple(known), tuple(unknown))

    def _whole(self, name: str) -> FoundGenres:
        genre = self.match(name)
        return FoundGenres((), (name,)) if genre is None else FoundGenres((genre,), ())

    def find(self, text: str) -> FoundGenres:
        """Finds the genres that a text names: one, or several with separators between them.

        A text is divided at `;`, `,` and `/`, and, where each part is a known genre, at white
        space, `&` and `+`. As names hold such characters as well, it is divided so that the fewest
        parts are unknown, and then into the longest names.
        """
        parts, words = self._divide(text)
        part_ends = {word.part: end for end, word in enumerate(words, 1)}
        part_starts = {0, *part_ends.values()}
        # For the words from each place on: the cost of naming them, and the first name.
        plans = [_Plan(_NOTHING, None, 0)] * (len(words) + 1)
        for start in reversed(range(len(words))):
            names = list(self._names_from(words, start))
            if start in part_starts:
                names.append(_Name(None, part_ends[words[start].part], _Cost(unknown=1)))
            plans[start] = min(
                (
                    _Plan(_sum(name.cost, plans[name.end].cost), name.genre, name.end)
                    for name in names
                ),
                key=lambda plan: (plan.cost, -plan.end),
                default=_IMPOSSIBLE,
            )
        known: list[str] = []
        unknown: list[str] = []
        start = 0
        while start < len(words):
            plan = plans[start]
            if plan.genre is None:
                unknown.append(parts[words[start].part])
            else:
                known.append(plan.genre)
            start = plan.end
        return FoundGenres(tuple(known), tuple(unknown))

    def _divide(self, text: str) -> tuple[list[str], list[_Word]]:
        """Divides a text at list separators into parts, and at all separators into words."""
        places: list[tuple[int, int]] = []
        words: list[_Word] = []
        end = 0
        for found in self._word.finditer(text):
            separators = _list_separators(text[end : found.start()])
            end = found.end()
            if separators or not places:
                places.append((found.start(), end))
            places[-1] = (places[-1][0], end)
            letters = _letters(found[0])
            sign = None if letters else self.match(found[0])
            words.append(_Word(letters, sign, separators, len(places) - 1))
        # A hyphen between words says nothing; one that is all there is cannot be passed over.
        telling = {word.part for word in words if word.letters or word.sign}
        kept: list[_Word] = []
        skipped = ""
        for word in words:
            if word.letters or word.sign or word.part not in telling:
                kept.append(word._replace(separators=skipped + word.separators))
                skipped = ""
                telling.add(word.part)
            else:
                skipped += word.separators
        return [text[start:end] for start, end in places], kept

    def _names_from(self, words: Sequence[_Word], start: int) -> Iterator[_Name]:
        """Yields the genres that the words from `start` on spell.

        A name is doubtful where the text has list separators or signs in it that the genre lacks.
        """
        if words[start].sign:
            yield _Name(words[start].sign, start + 1, _Cost(names=1))
            return
        spelled, separators, signs = "", "", 0
        for end in range(start + 1, len(words) + 1):
            word = words[end - 1]
            separators += word.separators if end > start + 1 else ""
            if word.sign:
                signs += 1
                continue
            spelled += word.letters
            if not word.letters or spelled not in self._beginnings:
                return
            genre = self._by_spelling.get(spelled)
            if genre is not None:
                lacking = Counter(separators) - self._separators[genre]
                yield _Name(genre, end, _Cost(doubts=sum(lacking.values()) + signs, names=1))


class _Word(NamedTuple):
    """What stands between two separators.

    Attributes:
        letters: its letters and digits.
        sign: the genre that it is, if it has neither.
        separators: list separators before it.
        part: position of its part.
    """

    letters: str
    sign: str | None
    separators: str
    part: int


class _Cost(NamedTuple):
    unknown: int = 0
    doubts: int = 0
    names: int = 0


class _Name(NamedTuple):
    """A genre, or none, for words up to `end`."""

    genre: str | None
    end: int
    cost: _Cost


class _Plan(NamedTuple):
    """What it costs to name the words from a place on, and the first name."""

    cost: _Cost
    genre: str | None
    end: int


_NOTHING = _Cost()
_IMPOSSIBLE = _Plan(_Cost(unknown=1 << 60), None, 0)


def _sum(left: _Cost, right: _Cost) -> _Cost:
    return _Cost(*(one + other for one, other in zip(left, right, strict=True)))


def _list_separators(text: str) -> str:
    return "".join(_LIST_SEPARATOR.findall(text)).translate(_SAME_SEPARATOR)


def _word_pattern(signs: Sequence[str]) -> re.Pattern[str]:
    """Returns the pattern of what separators stand between; signs such as "+/-" are not divided."""
    whole = [
        rf"(?<![^{_SEPARATORS}]){re.escape(sign)}(?![^{_SEPARATORS}])"
        for sign in sorted(signs, key=len, reverse=True)
    ]
    return re.compile("|".join([*whole, rf"[^{_SEPARATORS}]+"]))
