"""Options: the base of all that a user can set, and what is said of options that are wrong.

Such as, for a configuration with two mistakes:

Expected a valid pipeline configuration in my.yaml. Received:
  trainer.epoch: Expected a known option. Received: 'epoch'. Did you mean trainer.epochs?
  trainer.batch_size: Expected a value greater than or equal to 1. Received: 0.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from components.support.credentials import REFUSAL, has_credentials
from components.support.errors import ConfigError
from components.support.suggestions import closest

if TYPE_CHECKING:
    from typing_extensions import Self

Place = tuple[str | int, ...]
"""Where an option is, such as `("trainer", "layers", 3)`."""

_UNKNOWN, _MISSING = "extra_forbidden", "missing"
_EXPECTED = "Expected "
# pydantic's sentences, in the words and the order of this project's.
_SENTENCES = (
    (r"^Input should be (?=greater|less)", f"{_EXPECTED}a value "),
    (r"^Input should be ", _EXPECTED),
    (r"^String should match ", f"{_EXPECTED}a text that matches "),
    (r"^\w+ should have (at (?:least|most) \d+ \w+).*", rf"{_EXPECTED}\1"),
    (r", unable to parse .*", ""),
    (r"a valid dictionary( or instance of \w+)?|an object", "a mapping"),
    (r"a valid (tuple|list)", "a list"),
    (r"a valid string", "a text"),
)
_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 200
_shortened.maxdict = _shortened.maxlist = _shortened.maxtuple = 8


class Options(BaseModel):
    """Options that a user can set: frozen, and no option but those that are declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    SECTION: ClassVar[str] = ""
    """The key of a pipeline's configuration under which they are; empty for the whole."""

    @classmethod
    def from_fields(cls, fields: Any, expected: str = "") -> Self:
        """Validates a mapping of options.

        Args:
            fields: option -> value.
            expected: what the message says was expected; unless given, valid options of `SECTION`.

        Raises:
            ConfigError: naming each wrong option, what was expected and what was received; or
                each that holds a key or password, without repeating it.
        """
        if secret := _places_of_secrets(fields):
            problems = "\n".join(f"  {_name(cls, place) or '(all)'}: {REFUSAL}" for place in secret)
            raise ConfigError(f"{_wanted(cls, expected)} Received:\n{problems}")
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            problems = "\n".join(f"  {line}" for line in _describe(error, cls, fields))
            raise ConfigError(f"{_wanted(cls, expected)} Received:\n{problems}") from error

    @classmethod
    def from_json(cls, text: str, expected: str = "") -> Self:
        """Validates what `model_dump_json` wrote; see `from_fields`.

        Raises:
            ConfigError: the text is not JSON, or an option is wrong.
        """
        try:
            fields = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ConfigError(
                f"{_wanted(cls, expected)} Received: Invalid JSON, {error}."
            ) from error
        return cls.from_fields(fields, expected)


def _wanted(options: type[Options], expected: str) -> str:
    return f"{_EXPECTED}{expected or f'valid options of {options.SECTION or options.__name__}'}."


def _places_of_secrets(fields: Any) -> list[Place]:
    """Returns where URLs with keys or passwords are, before any message can repeat them.

    A mapping with one as a name is itself such a place.
    """
    places = []
    left: list[tuple[Place, Any]] = [((), fields)]
    seen = set()
    while left:
        place, value = left.pop()
        if isinstance(value, str):
            if has_credentials(value):
                places.append(place)
        elif isinstance(value, Mapping | Sequence) and id(value) not in seen:
            seen.add(id(value))  # YAML's aliases
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            for name, inner in items:
                is_secret = isinstance(name, str) and has_credentials(name)
                left.append((place, name) if is_secret else ((*place, name), inner))
    return sorted(places, key=str)


def _describe(error: ValidationError, options: type[Options], fields: Any) -> Iterator[str]:
    """Yields a line for each option that is wrong."""
    sentences: dict[Place, list[str]] = {}
    received: dict[Place, str] = {}
    for problem in error.errors():
        place = _place(problem["loc"], fields, is_missing=problem["type"] == _MISSING)
        if problem["type"] == _UNKNOWN:
            text = f"Expected a known option. Received: {place[-1]!r}.{_meant(options, place)}"
        elif problem["type"] == _MISSING:
            text = "Expected a value. Received: none."
        else:
            text = _sentence(problem["msg"])
            received[place] = _shortened.repr(problem["input"])
        sentences.setdefault(place, []).append(text)
    for place, texts in sentences.items():
        text = _as_one(texts)
        if "Received" not in text:
            text = f"{text}. Received: {received[place]}."
        end = "" if text.endswith((".", "?")) else "."
        yield f"{_name(options, place) or '(all)'}: {text}{end}"


def _place(location: Place, fields: Any, *, is_missing: bool) -> Place:
    """Returns a location as the user knows it: without pydantic's names of alternatives."""
    place: list[str | int] = []
    for part in location:
        if _has_item(fields, part):
            fields = fields[part]
        elif not (is_missing and part is location[-1]):
            continue
        place.append(part)
    return tuple(place)


def _has_item(fields: Any, part: str | int) -> bool:
    if isinstance(fields, Mapping):
        return part in fields
    is_list = isinstance(fields, Sequence) and not isinstance(fields, str)
    return is_list and isinstance(part, int) and part < len(fields)


def _sentence(message: str) -> str:
    own = message.removeprefix("Value error, ")
    if own != message:  # raised by a validator of this project
        return own.removesuffix(".") if "Received" not in own else own
    for pattern, ours in _SENTENCES:
        message = re.sub(pattern, ours, message)
    return message.removesuffix(".") if "Received" not in message else message


def _as_one(texts: Sequence[str]) -> str:
    """Joins what each of several alternatives expected."""
    if len(texts) == 1 or not all(text.startswith(_EXPECTED) for text in texts):
        return "; ".join(texts)
    return _EXPECTED + ", or ".join(text.removeprefix(_EXPECTED) for text in texts)


def _meant(options: type[Options], place: Place) -> str:
    """Suggests an option of that name beside the unknown one or elsewhere, or lists those there."""
    *parents, name = place
    beside = [known for each in _models_at(options, tuple(parents)) for known in _fields(each)]
    if name in beside:
        kind = next((each for each in reversed(parents) if isinstance(each, str)), "options")
        return f" Another kind of {kind} has it: leave it out here."
    found = closest(str(name), beside)
    if found:
        return f" Did you mean {_name(options, (*parents, found))}?"
    elsewhere = next((each for each in _all_places(options) if each[-1] == name), None)
    if elsewhere:
        return f" Did you mean {_name(options, elsewhere)}?"
    return f" The options here are {', '.join(beside)}." if beside else ""


def _name(options: type[Options], place: Place) -> str:
    section = (options.SECTION,) if options.SECTION else ()
    return ".".join(map(str, (*section, *place)))


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """Returns option -> type, the options under the names that users give them."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _models_at(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """Returns the models that may describe what is at a place."""
    models = [model]
    for part in place:
        # What is no option of any of them is an index, or a key of a mapping.
        models = [
            found
            for each in models
            for found in (_models_in(_fields(each)[part]) if part in _fields(each) else [each])
        ]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for each in get_args(annotation) for model in _models_in(each)]


def _all_places(model: type[BaseModel]) -> Iterator[Place]:
    for name, annotation in _fields(model).items():
        yield (name,)
        for inner in _models_in(annotation):
            yield from ((name, *place) for place in _all_places(inner))
