"""Groups of commands that list what they are about when no command is given."""

from __future__ import annotations

import click

LIST = "list"


class ListsByDefault(click.Group):
    """A group whose command `list` is the default."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts `list` in front of what is not a command."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [LIST, *args]
        return super().parse_args(ctx, args)
