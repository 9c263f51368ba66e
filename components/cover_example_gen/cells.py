"""What the cells of a manifest mean: genre names, 0 or 1, a split, the value of a slice."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from components.contracts.genre_names import GENRE_SEPARATOR
from components.contracts.label_schema import EVAL_SPLIT, TEST_SPLIT, TRAIN_SPLIT

SPLIT_NAMES: Mapping[str, str | None] = {
    "train": TRAIN_SPLIT,
    "training": TRAIN_SPLIT,
    "val": EVAL_SPLIT,
    "valid": EVAL_SPLIT,
    "validate": EVAL_SPLIT,
    "validation": EVAL_SPLIT,
    "dev": EVAL_SPLIT,
    "eval": EVAL_SPLIT,
    "evaluation": EVAL_SPLIT,
    "test": TEST_SPLIT,
    "testing": TEST_SPLIT,
    "unassigned": None,  # Vertex AI's word for "draw one"
    "": None,
}
"""Names of splits as found in data, in lower case, and what they are here."""

_TRUE = frozenset({"1", "1.0", "true", "t", "yes", "y", "x"})
_FALSE = frozenset({"0", "0.0", "-1", "-1.0", "false", "f", "no", "n", "", "nan", "none", "null"})
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
# NumPy writes lists without commas, which Python would read as one long name.
_NUMPY_LIST = re.compile(rf"\[\s*{_QUOTED}(?:\s+{_QUOTED})+\s*\]", re.DOTALL)


def genre_names(value: Any) -> tuple[tuple[str, ...], bool]:
    """Returns the genre names of a cell, and whether they were given one by one, as in a list.

    Args:
        value: names separated by `|`, a list, or the text of a list as JSON, Python or NumPy
            writes it.
    """
    if value is None or _is_nan(value):
        return (), False
    if isinstance(value, str):
        text = value.strip()
        listed = _listed(text) if text.startswith(("[", "(", "{")) else None
        if listed is None:
            return tuple(filter(None, map(str.strip, text.split(GENRE_SEPARATOR)))), False
        return _names(listed), True
    if isinstance(value, (list, tuple)):
        return _names(value), True
    return _names([value]), True


def flag(value: Any) -> bool:
    """Returns whether a cell says yes, as 1 or `true` does; an empty one says no.

    Raises:
        ValueError: the cell is neither.
    """
    if value is None:
        return False
    text = str(value).strip().casefold()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"Expected 0 or 1. Received: {text[:80]!r}.")


def split_of(value: Any) -> str | None:
    """Returns the split that a cell names, or None if it names none.

    Raises:
        ValueError: the cell names something else.
    """
    text = text_of(value).casefold()
    if text in SPLIT_NAMES:
        return SPLIT_NAMES[text]
    raise ValueError(f"Expected a split: train, val or test. Received: {text[:80]!r}.")


def is_split_name(name: str) -> bool:
    """Tells whether a folder, file or cell of this name holds a split."""
    return bool(name.strip()) and name.strip().casefold() in SPLIT_NAMES


def text_of(value: Any) -> str:
    """Returns a cell as text; a whole number has no decimals, and what is missing is empty."""
    if value is None or _is_nan(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _listed(text: str) -> Sequence[Any] | None:
    """Returns the elements of a list's text; None if it is no list."""
    if _NUMPY_LIST.fullmatch(text):
        return [ast.literal_eval(name) for name in re.findall(_QUOTED, text)]
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, (list, tuple)):
            return value
        if isinstance(value, (set, frozenset)):
            return sorted(value, key=str)
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1].split(",")
    return None


def _names(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(name for name in map(text_of, values) if name)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
