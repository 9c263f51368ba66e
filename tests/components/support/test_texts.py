from __future__ import annotations

import pytest

from components.support.texts import (
    LONGEST_LINE,
    first_few,
    line_for_people,
    message_for_people,
    printable,
    shortened,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Björk, 山下達郎 🎸👩‍🎤", "Björk, 山下達郎 🎸👩‍🎤"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x9b31m", r"\x9b31m"),
        ("cover\u202egpj.exe", r"cover\u202egpj.exe"),
        ("\udcff.jpg", r"\xff.jpg"),
        ("\ud800", r"\ud800"),
        ("line\u2028line", r"line\u2028line"),
    ],
)
def test_a_terminal_obeys_nothing_that_is_quoted(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).encode("utf-8")


def test_what_is_long_keeps_its_beginning_and_its_end() -> None:
    text = "Received: " + "4e" * 24_500 + ". Save it as UTF-8."
    line = line_for_people(text)
    assert len(line) < LONGEST_LINE + 50
    assert line.startswith("Received: 4e4e")
    assert line.endswith("4e. Save it as UTF-8.")
    assert "characters left out" in line
    assert shortened("a" * 300) == "a" * 300


def test_a_message_keeps_its_lines() -> None:
    assert message_for_people("one\n  two\x1b") == "one\n  two\\x1b"


def test_a_long_list_is_counted() -> None:
    assert first_few(["a", "b"], 2) == "a, b"
    assert first_few((str(number) for number in range(10_000)), 3) == "0, 1, 2 and 9,997 more"
