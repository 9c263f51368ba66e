"""The command `covers log-to-mlflow`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click

from components.support.credentials import refuse_credentials
from components.support.file_systems import is_url
from pipeline.runner.workspace import DEFAULT_PIPELINE_ROOT
from pipeline.terminal import say


@click.command("log-to-mlflow")
@click.argument("run_ids", nargs=-1, metavar="[RUN]...")
@click.option(
    "--tracking-uri",
    metavar="URL_OR_FOLDER",
    help="The tracking server; by default the one that the run was configured with, else "
    "MLFLOW_TRACKING_URI, else the folder mlruns in the pipeline root.",
)
@click.option("--experiment", help="Name of the experiment; by default that of the pipeline.")
@click.option(
    "--models",
    type=click.Choice(["all", "pushed", "none"]),
    help="Which models are logged with their runs.",
)
@click.option(
    "--pipeline-root",
    type=click.Path(path_type=Path),
    default=DEFAULT_PIPELINE_ROOT,
    show_default=True,
    help="Folder for runs, metadata and pushed models.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one document per run.")
def log_to_mlflow_command(
    run_ids: Sequence[str],
    tracking_uri: str | None,
    experiment: str | None,
    models: str | None,
    pipeline_root: Path,
    as_json: bool,
) -> None:
    """Log past runs in MLflow: parameters, metrics, curves, the report and the model.

    A RUN is a run's id, the beginning of it, or the path of a report.json. Without any, all runs of
    the pipeline root with an evaluation are logged, but those whose report or model is damaged.
    Those that have been logged are left as they are.
    """
    from pipeline.commands.mlflow.command import log_runs

    if tracking_uri:
        refuse_credentials(tracking_uri, "--tracking-uri")
    place = Path(tracking_uri).resolve() if tracking_uri and not is_url(tracking_uri) else None
    options = {"tracking_uri": place or tracking_uri, "experiment": experiment, "models": models}
    given = {name: value for name, value in options.items() if value is not None}
    for name, logged in log_runs(run_ids, pipeline_root, given):
        if as_json:
            click.echo(json.dumps({"run": name, **dataclasses.asdict(logged)}))
        else:
            say(f"{name}: {logged}")
