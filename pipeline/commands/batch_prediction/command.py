"""What `covers predict` does with its answers: prints them, or writes them to a file."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from components.support.errors import ConfigError, DataError
from components.support.file_systems import is_url, local_copy
from pipeline.commands.batch_prediction.covers import list_covers, no_covers
from pipeline.commands.batch_prediction.job import passed_over_sentence, predict_to_file
from pipeline.commands.predict import Unreadable, predict_covers
from pipeline.config import PipelineConfig
from pipeline.terminal import say


def print_answers(given: Sequence[str], model: str, column: str | None, *, as_json: bool) -> None:
    """Prints an answer for each cover as soon as it is there.

    Args:
        given: see `list_covers`.
        model: path or URL of a SavedModel of this project.
        column: the manifests' column of images.
        as_json: prints JSON Lines.

    Raises:
        ConfigError: there is no cover.
        DataError: in the end, if a cover could not be read.
    """
    if not as_json:
        say(f"model: {model}")
    asked = unreadable = 0
    passed_over: Counter[str] = Counter()
    covers = list_covers(given, column=column, passed_over=passed_over)
    with local_copy(model) as folder:
        for answer in predict_covers(folder, covers):
            is_bad = isinstance(answer, Unreadable)
            asked += 1
            unreadable += is_bad
            if as_json:
                click.echo(json.dumps(answer.to_dict()))
            else:
                say(str(answer), to_stderr=is_bad)
    if passed_over:
        say(passed_over_sentence(passed_over), to_stderr=as_json)
    if not asked:
        raise no_covers(given)
    if unreadable:
        raise DataError(
            f"Expected images that can be read. Received: {unreadable:,} of {asked:,} that "
            "cannot, each with its reason above."
        )


def check_prints_here(config: PipelineConfig) -> None:
    """Raises unless this process gives the answers that are to be printed.

    Raises:
        ConfigError: says so.
    """
    if not config.engine.is_local:
        raise ConfigError(
            f"Expected --output FILE with the engine '{config.engine.name}', whose workers write "
            "files. Received: none. Name a file, or use --set engine.name=local."
        )


def write_answers(
    given: Sequence[str],
    model: str,
    output: Path,
    column: str | None,
    config: PipelineConfig,
    *,
    as_json: bool,
) -> None:
    """Writes the answers to a file, showing how far it is.

    Args:
        given: see `list_covers`.
        model: path or URL of a SavedModel of this project.
        output: see `predict_to_file`.
        column: the manifests' column of images.
        config: says which engine does the work.
        as_json: prints the account as JSON.

    Raises:
        DataError: in the end, if a cover could not be read.
    """
    if is_url(str(output)):
        raise ConfigError(
            f"Expected --output to be a file on this machine. Received: {output}. Copy it there "
            "when it is complete."
        )
    console = sys.stderr if as_json else sys.stdout
    with local_copy(model) as folder:
        account = predict_to_file(
            given,
            output,
            model=folder,
            column=column,
            engine=config.engine,
            beam_pipeline_args=config.beam_pipeline_args,
            console=console,
        )
    if as_json:
        click.echo(json.dumps(account.to_dict()))
    else:
        for sentence in account.sentences():
            say(sentence)
        say(str(output))
    unreadable = account.unreadable.total()
    if unreadable:
        raise DataError(
            f"Expected images that can be read. Received: {unreadable:,} of {account.covers:,} "
            f"that cannot, each with its reason in {output}."
        )
