"""YAML of bounded size: nobody's file makes a command run for minutes or fill the memory.

YAML's aliases repeat what an anchor names, so a few lines can stand for billions of values; deep
nesting and endless numbers are other ways to keep a reader busy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from components.support.errors import ConfigError
from components.support.texts import shortened

LARGEST_TEXT = 1 << 20
MOST_VALUES = 50_000
DEEPEST = 50
LONGEST_NUMBER = 100

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def read_yaml(file: Path) -> Any:
    """Returns what a YAML file holds.

    Raises:
        ConfigError: the file is missing, is no YAML, or is beyond a bound; with file and line.
    """
    text = _text(file)
    return _guarded(lambda: parse_yaml(text), str(file))


def read_documents(file: Path) -> list[Any]:
    """Returns the documents in a YAML file; see `read_yaml`."""
    text = _text(file)
    documents: list[Any] = _guarded(lambda: _documents(text), str(file))
    return documents


def parse_yaml(text: str) -> Any:
    """Returns what a text means.

    Raises:
        yaml.YAMLError: it is no YAML, or beyond a bound.
    """
    with _no_other_errors():
        return yaml.load(text, _BoundedLoader)


def _documents(text: str) -> list[Any]:
    with _no_other_errors():
        return list(yaml.load_all(text, _BoundedLoader))


@contextlib.contextmanager
def _no_other_errors() -> Iterator[None]:
    """Turns what PyYAML raises on a value that is none of its kind, such as the 40th of May."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise yaml.YAMLError(f"a value that is none of its kind: {error}") from error


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_TEXT + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Expected {file} to be a YAML file. Received: {shortened(str(error))}"
        ) from error
    if len(content) > LARGEST_TEXT:
        raise ConfigError(
            f"Expected {file} to be a YAML file of at most {LARGEST_TEXT:,} bytes. Received: more."
        )
    return text


def _guarded(parse: Callable[[], Any], source: str) -> Any:
    try:
        return parse()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = shortened(str(error.problem or error.context))
        raise ConfigError(
            f"Expected {source} to be a YAML file. Received: {problem}{where}."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"Expected {source} to be a YAML file. Received: {shortened(str(error))}"
        ) from error


class _BoundedLoader(yaml.SafeLoader):
    """Counts values while they are read, those that an alias repeats as often as it does."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        before = self._values
        self._depth += 1
        if self._depth > DEEPEST:
            _refuse(f"more than {DEEPEST} levels", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._values += 1
            self._sizes[id(node)] = self._values - before
        elif id(node) in self._sizes:
            self._values += self._sizes[id(node)]
        else:
            _refuse("an alias within what it names", event)
        if self._values > MOST_VALUES:
            _refuse(f"more than {MOST_VALUES:,} values, as aliases repeat them", event)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        event = self.peek_event()
        node = super().compose_scalar_node(anchor)
        if node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER:
            _refuse(f"a number of {len(node.value):,} characters", event)
        return node


def _refuse(problem: str, event: Any) -> None:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
