"""The `covers` command. TensorFlow and TFX are imported only by the command that needs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from components.support.errors import CoversError
from components.support.home import ensure_home
from components.support.machine import machine_error
from components.support.quiet import third_parties_quiet
from pipeline.commands.export.cli import export_command
from pipeline.commands.mlflow.cli import log_to_mlflow_command
from pipeline.commands.models.cli import models, rollback
from pipeline.commands.models.places import FOREIGN_MODEL, Where, where_options
from pipeline.configuration_options import config_option, overrides_option
from pipeline.kubeflow.cli import compile_command, schedule, schedules, submit, upload
from pipeline.runner.workspace import DEFAULT_PIPELINE_ROOT
from pipeline.serving.cli import serve
from pipeline.terminal import fail, say

_PATH = click.Path(path_type=Path)


class _Data(click.ParamType):
    """A path, or a URL, which stays what it is."""

    name = "data"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        from components.support.credentials import refuse_credentials
        from components.support.file_systems import is_url

        refuse_credentials(value)
        return value if is_url(value) else Path(value)


_DATA = _Data()
_pipeline_root = click.option(
    "--pipeline-root",
    type=_PATH,
    default=DEFAULT_PIPELINE_ROOT,
    show_default=True,
    help="Folder for runs, metadata and pushed models.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class _Commands(click.Group):
    """Turns the project's errors into a message and an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        ensure_home()
        try:
            with third_parties_quiet():
                return super().invoke(ctx)
        except CoversError as error:
            fail(error)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            say("Interrupted.", to_stderr=True)
            sys.exit(130)
        except click.ClickException:
            raise
        except Exception as error:
            refused = machine_error(error)
            if refused is None:
                raise
            fail(refused)
            sys.exit(refused.exit_code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="covers")
def main() -> None:
    """Album covers in, a multi-label genre model out: validated, evaluated, gated, pushed.

    Exit codes: 0 done or pushed; 1 unexpected; 2 usage or configuration; 3 data stopped at the
    gate; 4 trained and evaluated, but not blessed; 130 interrupted.
    """


@main.command()
@config_option
@click.option(
    "--data",
    type=_DATA,
    help="A manifest such as labels.csv, a folder with one folder per genre, or the s3:// or gs:// "
    "URL of either. `covers init` knows more shapes.",
)
@overrides_option
@click.option("--no-cache", is_flag=True, help="Run every stage, even if nothing changed.")
@_pipeline_root
@_as_json
def run(
    config: str,
    data: Path | str | None,
    overrides: Sequence[str],
    no_cache: bool,
    pipeline_root: Path,
    as_json: bool,
) -> None:
    """Run the pipeline on this machine, from covers to a verdict.

    Without data it runs on a generated sample. Progress goes to standard output or, with --json,
    to standard error.
    """
    from pipeline.config import load_config
    from pipeline.runner.local_run import run_locally

    result = run_locally(
        load_config(config, overrides),
        data=data,
        pipeline_root=pipeline_root,
        use_cache=not no_cache,
        console=sys.stderr if as_json else sys.stdout,
    )
    if as_json:
        click.echo(result.to_json())
    sys.exit(result.outcome.exit_code)


@main.command("train-worker")
@config_option
@overrides_option
@click.option(
    "--index",
    type=click.IntRange(min=1),
    required=True,
    help="Which of trainer.worker_addresses this machine has; 0 is the machine of the run.",
)
@_pipeline_root
def train_worker(config: str, overrides: Sequence[str], index: int, pipeline_root: Path) -> None:
    """Wait on this machine for trainings of runs on another one, and be one of their workers.

    Both machines see the pipeline root and the data under the same paths.
    """
    from pipeline.commands.train_worker import wait_for_trainings
    from pipeline.config import load_config

    wait_for_trainings(load_config(config, overrides), index, pipeline_root, say)


@main.command()
@click.argument("directory", type=_PATH)
@click.option("--images", default=600, show_default=True, help="Number of covers.")
@click.option("--seed", default=0, show_default=True, help="Seed of the generator.")
@click.option("--schema", "schema_path", type=_PATH, help="Schema that names the genres.")
def sample(directory: Path, images: int, seed: int, schema_path: Path | None) -> None:
    """Write a synthetic, labelled, multi-label cover set into DIRECTORY."""
    from components.contracts.genre_names import listing
    from components.contracts.label_schema import LabelSchema
    from pipeline.commands.sample import write_sample
    from pipeline.config import DEFAULT_CONFIG, load_config

    labels = LabelSchema.from_file(schema_path or load_config(DEFAULT_CONFIG).schema_path)
    written = write_sample(directory, genres=labels.genres, images=images, seed=seed)
    say(f"{images} covers of {listing(labels.genres)} in {written}")


@main.command()
@click.argument("covers", nargs=-1, required=True, metavar="COVERS...")
@click.option(
    "--output",
    type=_PATH,
    metavar="FILE",
    help="Write .csv, .jsonl or .parquet instead of printing; goes on where it was stopped.",
)
@click.option(
    "--image-column", help="Column of the images in manifests; image or file_name by default."
)
@click.option(
    "--model",
    type=_PATH,
    help="A SavedModel instead of the latest pushed model. It is code: give one that you trust.",
)
@where_options
@config_option
@overrides_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one document per image.")
def predict(
    covers: Sequence[str],
    output: Path | None,
    image_column: str | None,
    model: Path | None,
    where: Where,
    config: str,
    overrides: Sequence[str],
    as_json: bool,
) -> None:
    """Ask the pushed model for genres, probabilities and decisions.

    COVERS are image files, folders of them, patterns ('covers/**/*.jpg'), manifests (CSV, JSON
    Lines, Parquet, with paths or with images inside), or URLs of any of these (s3://, gs://). An
    image that cannot be read gets its reason instead, and the exit code is 3.

    Of the configuration only `engine` counts: with --output, a cluster may do the work.
    """
    from pipeline.commands.batch_prediction.command import (
        check_prints_here,
        print_answers,
        write_answers,
    )
    from pipeline.config import load_config

    loaded = load_config(config, overrides)
    if not output:
        check_prints_here(loaded)
    location = where.model(model)
    if where.is_foreign(model):
        say(FOREIGN_MODEL, to_stderr=True)
    if output:
        write_answers(covers, location, output, image_column, loaded, as_json=as_json)
    else:
        print_answers(covers, location, image_column, as_json=as_json)


@main.command()
@click.argument("covers", nargs=-1, required=True, metavar="COVERS...")
@click.option("--output", type=_PATH, metavar="FILE", help="Write a page with the heat maps, too.")
@click.option(
    "--model",
    type=_PATH,
    help="A SavedModel instead of the latest pushed model. It is code: give one that you trust.",
)
@click.option("--run", help="The run that made the model, if not the newest that did.")
@click.option(
    "--artifacts",
    metavar="PATH_OR_URL",
    help="Where Kubeflow Pipelines keeps the artifacts of its runs, such as s3://bucket/artifacts, "
    "if it made the model.",
)
@where_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one document per cover.")
def why(
    covers: Sequence[str],
    output: Path | None,
    model: Path | None,
    run: str | None,
    artifacts: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Say why the pushed model answers as it does for COVERS, image files or folders of them.

    For each cover: probabilities and decisions, which parts of it they rest on, and the nearest
    covers of those that the model was trained on. With --output, a page shows all that in pictures.
    A cover takes some seconds.
    """
    from pipeline.commands.why.command import explain_covers

    location = where.model(model)
    if where.is_foreign(model):
        say(FOREIGN_MODEL, to_stderr=True)
    explain_covers(
        covers,
        location,
        pipeline_root=where.pipeline_root,
        run=run,
        artifacts=artifacts,
        output=output,
        as_json=as_json,
    )


@main.command()
@click.argument("run", required=False)
@click.option("--open", "open_it", is_flag=True, help="Open the report in a browser.")
@click.option(
    "--compare", nargs=2, metavar="RUN RUN", help="Print the metrics of two runs side by side."
)
@_pipeline_root
def report(
    run: str | None, open_it: bool, compare: tuple[str, str] | None, pipeline_root: Path
) -> None:
    """Print the path of the latest report, or of that of RUN, a run's id or the beginning of it."""
    from pipeline.commands.reports import compare_reports, find_report

    if compare:
        if run is not None or open_it:
            raise click.UsageError("--compare cannot be combined with RUN or --open.")
        first, second = compare
        pages = (find_report(pipeline_root, first), find_report(pipeline_root, second))
        for line in compare_reports(pages):
            say(line)
        return
    page = find_report(pipeline_root, run)
    say(str(page))
    if open_it:
        click.launch(str(page))


@main.command("compare")
@click.argument("run_ids", nargs=-1, metavar="[RUN]...")
@click.option(
    "--output",
    type=_PATH,
    metavar="FILE",
    help="The page to write; by default comparison.html in the pipeline root.",
)
@_pipeline_root
@_as_json
def compare_command(
    run_ids: Sequence[str], output: Path | None, pipeline_root: Path, as_json: bool
) -> None:
    """Compare any number of runs, on the console and as a page.

    A RUN is a run's id, the beginning of it, or the path of a report.json, such as one copied
    from a bucket. Without any, the latest five with an evaluation are compared. Changes are
    against the first run.
    """
    from pipeline.commands.compare.command import compare_runs
    from pipeline.commands.compare.tables import describe

    comparison, page = compare_runs(run_ids, pipeline_root, output)
    if as_json:
        click.echo(json.dumps(comparison.to_dict(page), allow_nan=False))
        return
    for line in describe(comparison, page):
        say(line)


@main.command()
@click.argument("run", required=False)
@click.option("--model", type=_PATH, help="Examine this SavedModel instead of a run; needs --data.")
@click.option("--data", type=_DATA, help="Labelled covers for --model: a manifest or a folder.")
@click.option(
    "--range-steps",
    default=60,
    show_default=True,
    help="Steps of the learning-rate range test; 0 leaves it out.",
)
@_pipeline_root
@_as_json
def diagnose(
    run: str | None,
    model: Path | None,
    data: Path | str | None,
    range_steps: int,
    pipeline_root: Path,
    as_json: bool,
) -> None:
    """Explain whether and why metrics stand still, for the latest run or for RUN."""
    if (model is None) != (data is None) or (model and run):
        raise click.UsageError("Give RUN, or --model and --data together, or neither.")
    from pipeline.commands.diagnose import describe, diagnose_model, diagnose_run, to_dict

    if model and data:
        subject, diagnosis = diagnose_model(model, data)
    else:
        subject, diagnosis = diagnose_run(pipeline_root, run, range_steps)
    if as_json:
        click.echo(json.dumps(to_dict(subject, diagnosis)))
        return
    for line in describe(subject, diagnosis):
        say(line)


@main.command()
@click.option(
    "--config",
    help="List the runs of all pipeline roots on the server that this configuration names.",
)
@_pipeline_root
@_as_json
def runs(config: str | None, pipeline_root: Path, as_json: bool) -> None:
    """List past runs from ML Metadata: when, data, verdict, key metrics."""
    from pipeline.commands.runs import describe_runs, runs_to_dicts
    from pipeline.config import load_config
    from pipeline.runner.history import past_runs, shared_runs

    if config is None:
        past = past_runs(pipeline_root)
    else:
        past = shared_runs(load_config(config).metadata, pipeline_root)
    if as_json:
        click.echo(json.dumps(runs_to_dicts(past)))
        return
    for line in describe_runs(past, pipeline_root):
        say(line)


@main.command()
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    required=True,
    help="How many runs of each pipeline to keep: the newest that were not interrupted.",
)
@_pipeline_root
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@_as_json
def prune(keep: int, pipeline_root: Path, dry_run: bool, as_json: bool) -> None:
    """Remove the artifacts, logs, reports and samples that only older runs need.

    Pushed models are kept, which `covers models prune` removes, and so is everything that the
    newest runs took from the cache. `covers runs` still lists the runs that were pruned.
    """
    from pipeline.commands.prune import describe_pruned
    from pipeline.commands.prune import prune as prune_root

    pruned = prune_root(pipeline_root, keep, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(pruned.to_dict()))
        return
    for line in describe_pruned(pruned, pipeline_root):
        say(line)


@main.command()
@click.argument("data", type=_DATA)
@click.option(
    "--output", type=_PATH, help="Configuration to write; by default named like the data's folder."
)
@overrides_option
def init(data: Path | str, output: Path | None, overrides: Sequence[str]) -> None:
    """Look at DATA, say what it holds, and write a configuration and a label schema for it.

    DATA is a manifest, a folder, or the URL of either. --set takes options of ingest, such as
    ingest.columns.genres=style, where the proposal is wrong.
    """
    from pipeline.commands.init.command import initialise

    for line in initialise(data, output, overrides):
        say(line)


@main.command()
@click.option("--log", type=_PATH, help="The request log of a server: `serve --log-requests`.")
@click.option("--data", type=_DATA, help="Covers without genres instead: a folder or a manifest.")
@click.option("--model", type=_PATH, help="The model, if not the latest pushed one.")
@click.option("--run", help="The run to compare with, if not the newest that made the model.")
@click.option(
    "--artifacts",
    metavar="PATH_OR_URL",
    help="Where Kubeflow Pipelines keeps the artifacts of its runs, such as s3://bucket/artifacts, "
    "if it made the model.",
)
@click.option(
    "--min-covers",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="With fewer covers the answer is that they are too few to tell.",
)
@click.option("--output", type=_PATH, help="Folder for the report; by default the pipeline's.")
@where_options
@_as_json
def drift(
    log: Path | None,
    data: Path | str | None,
    model: Path | None,
    run: str | None,
    artifacts: str | None,
    min_covers: int,
    output: Path | None,
    where: Where,
    as_json: bool,
) -> None:
    """Compare answered covers with those that the model was trained and tested on.

    Exit codes: 0 no drift, or too few covers to tell; 3 drift.
    """
    if (log is None) == (data is None):
        raise click.UsageError("Give --log or --data.")
    from pipeline.commands.drift.command import check_drift
    from pipeline.commands.drift.result import describe

    result, page = check_drift(
        where,
        log=log,
        data=data,
        model=model,
        run=run,
        artifacts=artifacts,
        output=output,
        least_covers=min_covers,
    )
    if as_json:
        click.echo(json.dumps({**result.to_dict(), "report": str(page)}))
    else:
        for line in describe(result, page):
            say(line)
    sys.exit(result.exit_code)


for command in (
    models,
    rollback,
    compile_command,
    submit,
    upload,
    schedule,
    schedules,
    export_command,
    log_to_mlflow_command,
    serve,
):
    main.add_command(command)
