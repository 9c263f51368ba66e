"""Lines of a text file, of bounded length."""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from components.support.errors import DataError
from components.support.texts import shortened

LONGEST_LINE = 65_536

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextlib.contextmanager
def open_lines(file: Path, form: str) -> Iterator[TextLines]:
    """Opens a text file in UTF-8, or in UTF-16 with a byte order mark.

    Args:
        file: the file.
        form: what it should be, for messages, such as `CSV`.

    Raises:
        DataError: the file cannot be read as text; in the block as well.
    """
    try:
        with file.open("rb") as opened:
            encoding = "utf-16" if opened.read(2) in _UTF_16_MARKS else "utf-8-sig"
        with file.open(encoding=encoding, errors="surrogateescape", newline="") as text:
            yield TextLines(text, file, form)
    except (OSError, UnicodeError) as error:
        raise DataError(
            f"Expected {file} to be a {form} file in UTF-8. Received: {shortened(str(error))}. "
            f"Save it as UTF-8 {form}."
        ) from error


class TextLines:
    """Lines of bounded length; those that cannot be read as text are left out as empty ones.

    Attributes:
        number: lines read so far.
    """

    def __init__(self, text: TextIO, file: Path, form: str) -> None:
        self._text = text
        self._file = file
        self._form = form
        self._problems: dict[int, str] = {}
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
            self._skip_rest()
            return self._leave_out(f"Expected a line of fewer than {LONGEST_LINE:,} characters.")
        if "\0" in line:
            return self._leave_out("Expected text. Received: a line with a NUL character.")
        if line.isascii():
            return line
        undecoded = next((c for c in line if "\udc80" <= c <= "\udcff"), None)
        if undecoded:
            raise DataError(
                f"Expected {self._file} to be a {self._form} file in UTF-8. Received: byte "
                f"0x{ord(undecoded) - 0xDC00:02x} on line {self.number}. "
                f"Save it as UTF-8 {self._form}."
            )
        return line

    def problem_within(self, first: int, last: int) -> str | None:
        """Returns the problem of a line, among those given, that was left out; or None."""
        if not self._problems:
            return None
        return next((text for n, text in self._problems.items() if first <= n <= last), None)

    def _skip_rest(self) -> None:
        while (rest := self._text.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
            pass

    def _leave_out(self, problem: str) -> str:
        self._problems[self.number] = problem
        return "\n"
