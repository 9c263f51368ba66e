"""The options of a configuration, each by its full name and as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def flat_options(name: str, value: Any, place_form: str = "[{}]") -> Iterator[tuple[str, str]]:
    """Yields `name` and the value or, of nested options, the full name and value of each.

    Args:
        name: of the option.
        value: its value, as JSON has it.
        place_form: how the place in a list follows the name of the list.
    """
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from flat_options(f"{name}.{key}", each, place_form)
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for place, each in enumerate(value):
            yield from flat_options(name + place_form.format(place), each, place_form)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
