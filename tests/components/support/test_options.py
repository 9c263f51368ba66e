from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from components.support.errors import ConfigError
from components.support.options import Options


class Tree(Options):
    height: float = Field(default=1.0, gt=0.0)
    kind: Literal["oak", "elm"] | int = "oak"


class Garden(Options):
    SECTION = "garden"

    trees: tuple[Tree, ...] = ()
    named: dict[str, Tree] = Field(default={}, max_length=1)
    oldest: Tree | None = None
    width: int = Field(default=3, alias="breadth")
    owner: str = "me"

    @model_validator(mode="after")
    def _is_wide_enough(self) -> Garden:
        if len(self.trees) > self.width:
            raise ValueError(f"Expected at most {self.width} trees. Received: {len(self.trees)}")
        return self


def _problems(fields: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Garden.from_fields(fields)
    first, *problems = str(caught.value).splitlines()
    assert first == "Expected valid options of garden. Received:"
    return [problem.strip() for problem in problems]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"tres": []},
            "garden.tres: Expected a known option. Received: 'tres'. Did you mean garden.trees?",
        ),
        (
            {"trees": [{}, {"heigth": 1}]},
            "garden.trees.1.heigth: Expected a known option. Received: 'heigth'. "
            "Did you mean garden.trees.1.height?",
        ),
        (
            {"named": {"a": {"kinds": 1}}},
            "garden.named.a.kinds: Expected a known option. Received: 'kinds'. "
            "Did you mean garden.named.a.kind?",
        ),
        (
            {"bredth": 1},
            "garden.bredth: Expected a known option. Received: 'bredth'. "
            "Did you mean garden.breadth?",
        ),
        (
            {"oldest": {"owner": "you"}},
            "garden.oldest.owner: Expected a known option. Received: 'owner'. "
            "Did you mean garden.owner?",
        ),
        (
            {"oldest": {"roots": 3}},
            "garden.oldest.roots: Expected a known option. Received: 'roots'. "
            "The options here are height, kind.",
        ),
        (
            {"oldest": {"height": 0}},
            "garden.oldest.height: Expected a value greater than 0. Received: 0.",
        ),
        ({"breadth": "wide"}, "garden.breadth: Expected a valid integer. Received: 'wide'."),
        (
            {"oldest": {"kind": "ash"}},
            "garden.oldest.kind: Expected 'oak' or 'elm', or a valid integer. Received: 'ash'.",
        ),
        ({"oldest": 3}, "garden.oldest: Expected a mapping. Received: 3."),
        ({"owner": None}, "garden.owner: Expected a text. Received: None."),
        (
            {"named": {"a": {}, "b": {}}},
            "garden.named: Expected at most 1 item. Received: {'a': {}, 'b': {}}.",
        ),
        ({"breadth": 0, "trees": [{}]}, "garden: Expected at most 0 trees. Received: 1."),
        ([], "garden: Expected a mapping. Received: []."),
    ],
)
def test_a_wrong_option_is_named_with_what_was_expected_and_received(
    fields: Any, problem: str
) -> None:
    assert _problems(fields) == [problem]


def test_every_wrong_option_has_a_line() -> None:
    assert _problems({"breadth": "x", "tree": 1}) == [
        "garden.breadth: Expected a valid integer. Received: 'x'.",
        "garden.tree: Expected a known option. Received: 'tree'. Did you mean garden.trees?",
    ]


def test_a_missing_option_is_named() -> None:
    class Needy(Options):
        name: str

    with pytest.raises(ConfigError, match=r"name: Expected a value\. Received: none\.$"):
        Needy.from_fields({})


def test_json_round_trip_and_broken_json() -> None:
    garden = Garden.from_fields({"trees": [{"height": 2}], "breadth": 5})
    assert Garden.from_json(garden.model_dump_json(by_alias=True)) == garden
    with pytest.raises(ConfigError, match=r"Expected valid options of garden\. .*Invalid JSON"):
        Garden.from_json("{")
    with pytest.raises(ConfigError, match=r"Expected a park\. Received:"):
        Garden.from_json("3", expected="a park")


def test_options_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Garden().owner = "you"
