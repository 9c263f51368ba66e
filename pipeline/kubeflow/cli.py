"""The commands for Kubeflow Pipelines: compile, submit, upload, schedule, schedules."""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.support.errors import ConfigError
from components.support.texts import printable
from pipeline.command_groups import LIST, ListsByDefault
from pipeline.configuration_options import config_option, overrides_option
from pipeline.terminal import say

if TYPE_CHECKING:
    from pipeline.kubeflow.connection import Api
    from pipeline.kubeflow.package import CompiledPackage
    from pipeline.kubeflow.submit import RunOptions

_PATH = click.Path(path_type=Path)
_MOST_HOURS = 24 * 366


@click.command("compile")
@config_option
@overrides_option
@click.option("-o", "--output", type=_PATH, required=True, help="File to write: *.yaml or *.json.")
@click.option(
    "--cluster",
    "clusters",
    type=_PATH,
    multiple=True,
    help="YAML file that adds to the configuration's options of `kubeflow`, or replaces them. May "
    "be repeated.",
)
@click.option("--image", help="Image of the tasks instead of kubeflow.image.")
@click.option(
    "--target",
    type=click.Choice(["kubeflow", "vertex"]),
    default="kubeflow",
    show_default=True,
    help="Open-source Kubeflow Pipelines 2.x (YAML), or a Vertex AI job (JSON).",
)
@click.option("--no-cache", is_flag=True, help="Turn caching off: every task runs in every run.")
def compile_command(
    config: str,
    overrides: Sequence[str],
    output: Path,
    clusters: Sequence[Path],
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
    loaded = load_config(config, overrides, clusters)
    package = compile_pipeline(loaded, target, use_cache=not no_cache)
    package.write(output)
    say(f"{package.describe()} in {output}")


def _hours(option: str, hours: float) -> datetime.timedelta:
    if not 0 <= hours <= _MOST_HOURS:
        raise ConfigError(
            f"Expected {option} to be hours, at most {_MOST_HOURS:,}. Received: {hours}."
        )
    return datetime.timedelta(hours=hours)


def _connected(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that locate the API; the command receives a way to make an `Api`."""

    @click.option("--host", envvar="KFP_HOST", help="URL of the API. [env: KFP_HOST]")
    @click.option("--token", envvar="KFP_TOKEN", help="Bearer token. [env: KFP_TOKEN]")
    @click.option(
        "--namespace",
        envvar="KFP_NAMESPACE",
        help="Namespace of the profile, in a multi-user installation. [env: KFP_NAMESPACE]",
    )
    @click.option("--ca-certificate", help="File with the host's certificate authority.")
    @functools.wraps(command)
    def connect(
        *args: Any,
        host: str | None,
        token: str | None,
        namespace: str | None,
        ca_certificate: str | None,
        **options: Any,
    ) -> None:
        from pipeline.kubeflow.connection import Api, Connection

        connection = Connection(host, token, namespace, ca_certificate)
        command(*args, connect=functools.partial(Api, connection), **options)

    return connect


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options for making runs; the command receives package and `RunOptions`."""

    @click.argument("package_file", type=_PATH, metavar="PACKAGE")
    @click.option(
        "-p",
        "--param",
        "assignments",
        multiple=True,
        metavar="NAME=VALUE",
        help="Parameter of the run, such as data=s3://bucket/covers. May be repeated.",
    )
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="trainer.KEY=VALUE",
        help="Change one of the package's training options. May be repeated.",
    )
    @click.option(
        "--experiment", help="Experiment that groups the runs; the pipeline's name by default."
    )
    @click.option("--pipeline-root", help="Where artifacts are stored: s3://, gs:// or minio://.")
    @click.option("--service-account", help="Kubernetes service account of the pods.")
    @functools.wraps(command)
    def read(
        *args: Any,
        package_file: Path,
        assignments: Sequence[str],
        overrides: Sequence[str],
        experiment: str | None,
        pipeline_root: str | None,
        service_account: str | None,
        **options: Any,
    ) -> None:
        from pipeline.kubeflow.config import check_pipeline_root
        from pipeline.kubeflow.package import CompiledPackage, parameter_values
        from pipeline.kubeflow.submit import RunOptions

        if pipeline_root:
            try:
                check_pipeline_root(pipeline_root)
            except ValueError as error:
                raise ConfigError(str(error)) from error
        package = CompiledPackage.from_file(package_file)
        values = parameter_values(package, assignments, overrides)
        how = RunOptions(values, experiment or package.name, pipeline_root, service_account)
        command(*args, package=package, how=how, **options)

    return read


@click.command()
@_run_options
@_connected
@click.option("--name", help="Name of the run.")
@click.option(
    "--wait",
    "waits",
    is_flag=True,
    help="Wait for the run to end; if it fails, say why, with the exit code of `covers run`.",
)
@click.option("--timeout", default=24.0, show_default=True, help="Longest time to wait, in hours.")
def submit(
    package: CompiledPackage,
    how: RunOptions,
    connect: Callable[[], Api],
    name: str | None,
    waits: bool,
    timeout: float,
) -> None:
    """Run the compiled PACKAGE on Kubeflow Pipelines, once."""
    from pipeline.kubeflow import submit as submitting
    from pipeline.kubeflow.waiting import run_page, wait

    longest = _hours("--timeout", timeout)
    api = connect()
    run_id = submitting.submit(api, package, name, how)
    say(f"Run {run_id}: {run_page(api, run_id)}")
    if not waits:
        return
    try:
        wait(api, run_id, package.pod_templates, longest)
    except KeyboardInterrupt:
        say(f"No longer waiting. Run {run_id} goes on: {run_page(api, run_id)}")
        raise
    say("Succeeded.")


@click.command()
@click.argument("package_file", type=_PATH, metavar="PACKAGE")
@_connected
@click.option("--name", help="Name of the pipeline; the package's own by default.")
@click.option("--version", help="Name of the version; derived from the time by default.")
@click.option("--description", help="Description of the version.")
def upload(
    package_file: Path,
    connect: Callable[[], Api],
    name: str | None,
    version: str | None,
    description: str | None,
) -> None:
    """Upload the compiled PACKAGE as a pipeline, or as a new version of one."""
    from pipeline.kubeflow import submit as submitting
    from pipeline.kubeflow.package import CompiledPackage

    package = CompiledPackage.from_file(package_file)
    submitting.check_names(name or package.name, version)
    api = connect()
    uploaded = submitting.upload(api, package, name or package.name, version, description)
    say(
        f"Pipeline {uploaded[0]}, version {uploaded[1]}: "
        f"{api.page(f'pipelines/details/{uploaded[0]}/version/{uploaded[1]}')}"
    )


@click.command()
@_run_options
@_connected
@click.option(
    "--cron", help="When to run, six fields, seconds first: '0 0 3 * * *' is daily at 3:00."
)
@click.option(
    "--every", type=float, metavar="HOURS", help="Hours between the starts, instead of --cron."
)
@click.option(
    "--name",
    help="Name of the schedule; the pipeline's by default. One of the same name is replaced.",
)
@click.option("--max-concurrency", default=1, show_default=True, help="Most runs at the same time.")
@click.option(
    "--catch-up", is_flag=True, help="Make up for runs missed while the schedule was off."
)
def schedule(
    package: CompiledPackage,
    how: RunOptions,
    connect: Callable[[], Api],
    cron: str | None,
    every: float | None,
    name: str | None,
    max_concurrency: int,
    catch_up: bool,
) -> None:
    """Upload the compiled PACKAGE and run it on a schedule."""
    from pipeline.kubeflow import submit as submitting
    from pipeline.kubeflow.schedules import Timing, replaceable, schedule_runs

    interval = None if every is None else _hours("--every", every)
    timing = Timing(cron, interval, max_concurrency, catch_up)
    name = name or package.name
    api = connect()
    old = replaceable(api, name, submitting.pipeline_id(api, package.name))
    uploaded = submitting.upload(api, package, package.name)
    result = schedule_runs(api, uploaded, name, how, timing, old)
    new = result.schedule
    say(f"Schedule '{name}', {new.when}, {new.state}: {api.page(f'recurringrun/details/{new.id}')}")
    for replaced in result.deleted:
        say(f"It replaces {replaced.id}, {replaced.when}, {replaced.state}, which was deleted.")
    for replaced, why in result.left:
        say(f"It replaces {replaced.id}, which is paused and was not deleted: {why}")


@click.group(cls=ListsByDefault)
def schedules() -> None:
    """List, pause, resume and delete schedules on Kubeflow Pipelines; by itself, list them."""


@schedules.command(LIST)
@_connected
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_schedules(connect: Callable[[], Api], as_json: bool) -> None:
    """List the schedules by name."""
    from pipeline.kubeflow.schedules import all_schedules

    found = all_schedules(connect())
    if as_json:
        click.echo(json.dumps([each.to_dict() for each in found], indent=2))
        return
    if not found:
        say("There are no schedules.")
    width = max((len(printable(each.name)) for each in found), default=0)
    for each in found:
        say(f"{printable(each.name):{width}}  {each.state:7}  {each.when}  ({each.id})")


@schedules.command("pause")
@click.argument("name")
@_connected
def pause_schedule(connect: Callable[[], Api], name: str) -> None:
    """Let the schedule NAME start no runs; those in progress go on."""
    from pipeline.kubeflow.schedules import pause

    say(f"Schedule '{printable(pause(connect(), name).name)}' is paused.")


@schedules.command("resume")
@click.argument("name")
@_connected
def resume_schedule(connect: Callable[[], Api], name: str) -> None:
    """Let the schedule NAME start runs again."""
    from pipeline.kubeflow.schedules import resume

    say(f"Schedule '{printable(resume(connect(), name).name)}' is running.")


@schedules.command("delete")
@click.argument("name")
@_connected
@click.option("--with-runs", is_flag=True, help="End its runs in progress as well.")
def delete_schedule(connect: Callable[[], Api], name: str, with_runs: bool) -> None:
    """Delete the schedule NAME; what its runs made stays."""
    from pipeline.kubeflow.schedules import delete

    deleted = delete(connect(), name, with_runs=with_runs)
    say(f"Schedule '{printable(deleted.name)}' is deleted.")
