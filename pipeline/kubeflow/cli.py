"""The commands for Kubeflow Pipelines: compile, submit, upload, schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)
_config = click.option(
    "--config",
    default="sample",
    show_default=True,
    help="A YAML file, or the name of a shipped one: sample, covers, seed.",
)
_overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override an option, such as trainer.epochs=5. May be repeated.",
)


@click.command("compile")
@_config
@_overrides
@click.option("-o", "--output", type=_PATH, required=True, help="File to write: *.yaml or *.json.")
@click.option("--image", help="Image of the tasks; else kubeflow.image.")
@click.option(
    "--target",
    type=click.Choice(["kubeflow", "vertex"]),
    default="kubeflow",
    show_default=True,
    help="Open-source Kubeflow Pipelines 2.x (YAML), or a Vertex AI job (JSON).",
)
@click.option("--no-cache", is_flag=True, help="Compile so that every task runs in every run.")
def compile_command(
    config: str,
    overrides: Sequence[str],
    output: Path,
    image: str | None,
    target: Any,
    no_cache: bool,
) -> None:
    """Compile the pipeline for Kubeflow Pipelines."""
    from pipeline.config import load_config
    from pipeline.kubeflow.compile import check_output, compile_pipeline

    check_output(output, target)
    if image:
        overrides = [*overrides, f"kubeflow.image={image}"]
    package = compile_pipeline(load_config(config, overrides), target, use_cache=not no_cache)
    package.write(output)
    click.echo(f"{package.describe()} in {output}")
