from __future__ import annotations

import io

import pytest

from components.support import progress
from pipeline.runner import console
from pipeline.runner.console import RunConsole


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(console, "time", clock)
    monkeypatch.setattr(progress, "time", clock)
    return clock


def _work(clock: _Clock, stream: io.StringIO) -> str:
    shown = RunConsole(stream)
    shown.stage_started("CoverExampleGen")
    with progress.listening(shown.stage_progressed):
        progress.start("CoverExampleGen", 4000, "covers checked")
        for _ in range(4):
            clock.now += 20
            progress.advance("CoverExampleGen", 1000)
        progress.start("CoverExampleGen", 3000, "covers written")
        clock.now += 20
        progress.advance("CoverExampleGen", 1500)
    shown.stage_finished("CoverExampleGen", "done", "4,000 rows")
    return stream.getvalue()


def test_elsewhere_progress_is_plain_lines_with_rate_and_time_left(clock: _Clock) -> None:
    lines = [" ".join(line.split()) for line in _work(clock, io.StringIO()).splitlines()]
    assert lines == [
        "CoverExampleGen 25% 1,000 / 4,000 covers checked, 50/s, 60 s left",
        "CoverExampleGen 50% 2,000 / 4,000 covers checked, 50/s, 40 s left",
        "CoverExampleGen 75% 3,000 / 4,000 covers checked, 50/s, 20 s left",
        "CoverExampleGen 50% 1,500 / 3,000 covers written, 75/s, 20 s left",
        "✓ CoverExampleGen done 100.0 s 4,000 rows",
    ]


def test_what_takes_seconds_each_has_no_rate_of_zero(clock: _Clock) -> None:
    stream = io.StringIO()
    shown = RunConsole(stream)
    shown.stage_started("Trainer")
    with progress.listening(shown.stage_progressed):
        progress.start("Trainer", 6, "heads refitted")
        clock.now += 24
        progress.advance("Trainer", 1)
        progress.start("Trainer", 60, "trials")
        clock.now += 30
        progress.advance("Trainer", 20)
    assert "1 / 6 heads refitted, 24 s each, 2 min left" in stream.getvalue()
    assert "20 / 60 trials, 1.5 s each, 60 s left" in stream.getvalue()


def test_on_a_terminal_a_bar_moves(clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    seen = _work(clock, _Terminal())
    assert "━" in seen
    assert "covers written, 75/s, 20 s left" in seen
    assert "\x1b[" in seen


def test_progress_without_a_known_end_is_a_plain_line_too(clock: _Clock) -> None:
    stream = io.StringIO()
    shown = RunConsole(stream)
    shown.stage_started("Prepare")
    with progress.listening(shown.stage_progressed):
        for rows in (0, 10_000, 20_000):
            clock.now += 20
            progress.report("Prepare", rows, 0, f"{rows:,} rows read")
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert lines == ["Prepare 10,000 rows read", "Prepare 20,000 rows read"]
    terminal = _Terminal()
    shown = RunConsole(terminal)
    shown.stage_started("Prepare")
    shown.stage_progressed("Prepare", 10_000, 0, "10,000 rows read")
    shown.stage_finished("Prepare", "done")
    assert "10,000 rows read" in terminal.getvalue()
