from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from components.support.errors import ConfigError
from pipeline import bounded_yaml
from pipeline.bounded_yaml import read_yaml
from pipeline.config import load_config, read_mapping

_LEVELS = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
_MERGES = [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, 12)]
REFUSED = {
    "aliases": ("\n".join(["l0: &l0 [a, b]", *_LEVELS]), "values, as aliases repeat them, line 6"),
    "merges": ("\n".join(["m0: &m0 {a: 1}", *_MERGES]), "values, as aliases repeat them, line 6"),
    "itself": ("a: &a [*a]", "an alias within what it names, line 1"),
    "deep": ("a:\n  " + "[" * 100_000, "more than 50 levels, line 2"),
    "deep blocks": ("".join("  " * n + "a:\n" for n in range(500)), "more than 50 levels, line 50"),
    "number": ("a: 1" + "0" * 10_000, "a number of 10,001 characters, line 1"),
    "base 60": ("a: 1" + ":1" * 10_000, "a number of 20,001 characters, line 1"),
    "many": ("a: [" + "1," * 200_000 + "]", "more than 50,000 values"),
    "large": ("#" * (2 << 20), "at most 1,048,576 bytes"),
    "date": ("a: 2020-05-40", "day is out of range"),
    "no number": ("a: !!int ", "a value that is none of its kind"),
    "no date": ("a: !!timestamp x", "a value that is none of its kind"),
    "no truth": ("a: !!bool x", "a value that is none of its kind"),
    "code": ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "binary": ("a: \0", "special characters are not allowed"),
    "broken": ("a: [1\nb: 2", "expected ',' or ']'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_file_is_refused_at_once_with_its_place(tmp_path: Path, name: str) -> None:
    text, problem = REFUSED[name]
    file = tmp_path / "covers.yaml"
    file.write_text(text)
    started = time.monotonic()
    with pytest.raises(ConfigError, match=re.escape(problem)) as caught:
        read_mapping(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(file))
    assert time.monotonic() - started < 30


def test_ordinary_anchors_work(tmp_path: Path) -> None:
    file = tmp_path / "covers.yaml"
    file.write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    assert read_yaml(file)["b"] == {"x": 1, "y": 2}


def test_an_override_has_the_same_bounds() -> None:
    bomb = "{l0: &l0 [a, b], " + ", ".join(_LEVELS) + "}"
    with pytest.raises(ConfigError, match="as aliases repeat them") as caught:
        load_config("sample", [f"sample={bomb}"])
    assert len(str(caught.value)) < 1000
    assert bounded_yaml.MOST_VALUES < 10**6
