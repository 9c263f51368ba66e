"""The options of every command that reads a configuration."""

from __future__ import annotations

from pathlib import Path

import click

SHIPPED_CONFIGS = Path(__file__).parent / "configs"
DEFAULT_CONFIG_NAME = "sample"


def shipped_names() -> list[str]:
    """Returns the names of the shipped configurations."""
    return sorted(path.stem for path in SHIPPED_CONFIGS.glob("*.yaml"))


config_option = click.option(
    "--config",
    default=DEFAULT_CONFIG_NAME,
    show_default=True,
    help=f"A YAML file, or the name of a shipped one: {', '.join(shipped_names())}.",
)
overrides_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override an option, such as trainer.epochs=5. May be repeated.",
)
