"""What someone watching a run sees: one line per stage, its progress, and the verdict."""

from __future__ import annotations

import time
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from components.support.texts import line_for_people

_MARKS = {
    "done": "[green]✓[/]",
    "cached": "[cyan]✓[/]",
    "failed": "[red]✗[/]",
    "not run": "[dim]·[/]",
}
_PLAIN_PROGRESS_SECONDS = 15.0
_LEAST_SECONDS_TO_GUESS = 1.0


class RunConsole:
    """Prints stages as they start, progress and finish.

    On a terminal the running stage has a live bar; elsewhere progress is a plain line at most
    every 15 seconds.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._live: Progress | None = None
        self._started = time.monotonic()
        self._reported = self._counted_from = self._started

    def say(self, text: str = "", style: str | None = None) -> None:
        """Prints a line, of bounded length and without anything that a terminal would obey."""
        self._console.print(escape(line_for_people(text)), style=style)

    def stage_started(self, name: str) -> None:
        """Shows that a stage is running."""
        self._started = self._reported = self._counted_from = time.monotonic()
        if self._console.is_terminal:
            self._live = Progress(
                TextColumn(" "),
                SpinnerColumn(),
                TextColumn("{task.fields[name]:<17}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("{task.fields[detail]}"),
                console=self._console,
                transient=True,
            )
            self._live.add_task("", total=None, name=name, detail="")
            self._live.start()

    def stage_progressed(self, name: str, done: int, total: int, detail: str) -> None:
        """Shows how far the running stage is, and how long the rest will take, if that is known."""
        now = time.monotonic()
        if done == 0:
            self._counted_from = now
        left = _time_left(done, total, now - self._counted_from)
        if self._live:
            counted = escape(line_for_people(detail or f"{done:,} / {total:,}")) + left
            self._live.update(
                self._live.task_ids[0], completed=done, total=total or None, detail=counted
            )
            return
        is_done = 0 < total <= done
        if now - self._reported >= _PLAIN_PROGRESS_SECONDS and done and not is_done:
            self._reported = now
            share = f"{done / total:>4.0%}" if total else " " * 4
            self.say(f"    {name:<17} {share} {detail}{left}".rstrip())

    def stage_warned(self, name: str, sentence: str) -> None:
        """Prints a warning while the stage runs."""
        self.say(f"    {name:<17} ! {sentence}", style="yellow")

    def stage_finished(self, name: str, state: str, note: str = "") -> None:
        """Prints the stage's line: its state and how long it took."""
        self.close()
        seconds = "" if state == "not run" else f"{time.monotonic() - self._started:.1f} s"
        said = escape(line_for_people(note))
        self._console.print(f"  {_MARKS[state]} {name:<17} {state:<8}{seconds:>9}  {said}".rstrip())

    def close(self) -> None:
        """Removes the live bar, if there is one."""
        if self._live:
            self._live.stop()
            self._live = None


def _time_left(done: int, total: int, seconds: float) -> str:
    if not 0 < done < total or seconds < _LEAST_SECONDS_TO_GUESS:
        return ""
    left = round(seconds / done * (total - done))
    return f", {left // 60} min left" if left >= 120 else f", {left} s left"
