"""The command `covers export`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.commands.models.places import FOREIGN_MODEL, Where, where_options
from pipeline.terminal import say

_PATH = click.Path(path_type=Path)


@click.command("export")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["onnx", "tflite"]),
    required=True,
    help="ONNX, or TensorFlow Lite (LiteRT).",
)
@click.option("--version", type=click.IntRange(min=1), help="A pushed version, not the newest.")
@click.option(
    "--model",
    type=_PATH,
    help="A SavedModel instead of a pushed version. It is code: give one that you trust.",
)
@where_options
@click.option("--output", type=_PATH, help="File to write; by default covers-VERSION.FORMAT.")
@click.option(
    "--covers",
    type=_PATH,
    multiple=True,
    help="A cover, or a folder of covers, to compare both models on; can be given several times. "
    "By default generated pictures.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export_command(
    format_name: Any,
    version: int | None,
    model: Path | None,
    where: Where,
    output: Path | None,
    covers: Sequence[Path],
    as_json: bool,
) -> None:
    """Convert the pushed model for another runtime.

    The result takes pixels: docs/export.md says how covers become pixels in other languages. It is
    written only if it answers as the pushed model does. A JSON file beside it names genres and
    thresholds.
    """
    if model is not None and version is not None:
        raise click.UsageError("Give --model or --version, not both.")
    from pipeline.commands.export.command import export_pushed, locate_version

    location = where.model(model) if version is None else locate_version(where.places(), version)
    if where.is_foreign(model):
        say(FOREIGN_MODEL, to_stderr=True)
    exported = export_pushed(location, format_name, output, covers)
    if as_json:
        click.echo(json.dumps(exported.to_dict()))
        return
    for line in exported.lines():
        say(line)
