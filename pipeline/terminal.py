"""What the commands print for people: the one place where text reaches a terminal.

Whatever a line quotes, it is printed as one line, without anything that a terminal would obey, and
shortened in the middle if it is very long. Documents for machines are JSON, printed as they are.
"""

from __future__ import annotations

import click

from components.support.texts import line_for_people, message_for_people


def say(line: str, *, to_stderr: bool = False) -> None:
    """Prints a line."""
    click.echo(line_for_people(line), err=to_stderr)


def fail(error: Exception) -> None:
    """Prints the message of an error, which may have several lines, on standard error."""
    click.secho(message_for_people(f"Error: {error}"), fg="red", err=True)
