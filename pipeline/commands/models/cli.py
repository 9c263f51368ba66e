"""The commands on pushed models: `covers models` and `covers rollback`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import click

from components.support.errors import ConfigError
from pipeline.command_groups import LIST, ListsByDefault
from pipeline.commands.models.places import Place, one_place, place_options
from pipeline.terminal import say

_LONGEST_REASON = 1000
_VERSION = click.IntRange(min=1)

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_by = click.option("--by", metavar="NAME", help="Who does it. [default: user@host]")


def _reason(context: click.Context, parameter: click.Parameter, value: str) -> str:
    reason = value.strip()
    if not reason or len(reason) > _LONGEST_REASON:
        raise click.BadParameter(
            f"Expected why, in 1 to {_LONGEST_REASON:,} characters. Received: {len(reason):,}."
        )
    return reason


_why = click.option(
    "--reason", metavar="TEXT", required=True, callback=_reason, help="Why, for the record."
)


@click.group(cls=ListsByDefault)
def models() -> None:
    """List, compare, keep and delete pushed models; without a command, list them.

    The newest whole version is the one that is served. `covers rollback` takes it back.
    """


def _print(as_json: bool, document: Callable[[], Any], lines: Callable[[], Any]) -> None:
    if as_json:
        click.echo(json.dumps(document()))
        return
    for line in lines():
        say(line)


@models.command(LIST)
@place_options
@_as_json
def list_command(places: Sequence[Place], as_json: bool) -> None:
    """List the pushed versions, newest first, with their metrics and their state."""
    from pipeline.commands.models.shown import describe_models
    from pipeline.commands.models.versions import read_models

    found = [(read_models(place.location), place.pipeline) for place in places]
    _print(
        as_json,
        lambda: [
            {"pipeline": pipeline or None, **model.to_dict()}
            for each, pipeline in found
            for model in each.models
        ],
        lambda: (line for each in found for line in describe_models(*each)),
    )


@models.command()
@click.argument("version", type=_VERSION, required=False)
@place_options
@_as_json
def show(version: int | None, places: Sequence[Place], as_json: bool) -> None:
    """Show all that is known about VERSION, by default the one that is served.

    Its files are compared with what was exported.
    """
    from pipeline.commands.models.shown import describe_model, model_to_dict
    from pipeline.commands.models.versions import read_models, with_checked_files

    found = read_models(one_place(places, (version,) if version else ()).location)
    model = with_checked_files(found[version] if version else found.served)
    _print(
        as_json,
        lambda: model_to_dict(model, found.rollbacks),
        lambda: describe_model(model, found.rollbacks),
    )


@models.command()
@click.argument("versions", type=_VERSION, nargs=-1, metavar="[VERSION] [VERSION]")
@place_options
@_as_json
def diff(versions: tuple[int, ...], places: Sequence[Place], as_json: bool) -> None:
    """Compare two versions: metrics, thresholds, genres, sizes, frameworks.

    One VERSION is compared with the one that is served; without any, the model before it is.
    """
    if len(versions) > 2:
        raise ConfigError(f"Expected at most two versions. Received: {len(versions)}.")
    from pipeline.commands.models.comparison import choose_two, compare, describe_comparison
    from pipeline.commands.models.versions import read_models

    two = choose_two(read_models(one_place(places, versions).location), versions)
    _print(as_json, lambda: compare(*two), lambda: describe_comparison(*two))


@models.command()
@click.argument("version", type=_VERSION)
@_why
@_by
@place_options
@_as_json
def pin(version: int, reason: str, by: str | None, places: Sequence[Place], as_json: bool) -> None:
    """Keep VERSION: `covers models prune` does not delete it."""
    from pipeline.commands.models.pins import Pin, pin_version
    from pipeline.commands.models.rollback import utc_now, whoever_runs_this

    place = one_place(places, (version,), changes=True)
    made = Pin(version, utc_now(), by or whoever_runs_this(), reason)
    pin_version(place.location, made)
    _print(as_json, made.to_dict, lambda: [f"Pinned version {version} in {place.location}."])


@models.command()
@click.argument("version", type=_VERSION)
@place_options
@_as_json
def unpin(version: int, places: Sequence[Place], as_json: bool) -> None:
    """Let VERSION be deleted like others."""
    from components.contracts.rollbacks import when
    from pipeline.commands.models.pins import unpin_version

    place = one_place(places, (version,), changes=True)
    removed = unpin_version(place.location, version)
    _print(
        as_json,
        removed.to_dict,
        lambda: [
            f"Unpinned version {version} in {place.location}, pinned "
            f"{when(removed.at)} by {removed.by}: {removed.reason}"
        ],
    )


@models.command()
@click.option(
    "--keep", type=click.IntRange(min=1), required=True, help="How many whole versions to keep."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@place_options
@_as_json
def prune(keep: int, dry_run: bool, places: Sequence[Place], as_json: bool) -> None:
    """Delete old versions.

    Never the one that is served, the newest ones, those that are pinned, or the one that a
    rollback would restore.
    """
    from pipeline.commands.models.retention import prune_models
    from pipeline.commands.models.shown import describe_pruned_models

    pruned = prune_models(one_place(places, changes=True).location, keep, dry_run=dry_run)
    _print(as_json, pruned.to_dict, lambda: describe_pruned_models(pruned))


@click.command()
@click.argument("version", type=_VERSION, required=False)
@_why
@_by
@place_options
@_as_json
def rollback(
    version: int | None, reason: str, by: str | None, places: Sequence[Place], as_json: bool
) -> None:
    """Serve an older model again: VERSION, or by default the one before.

    Its files are published as the newest version, so that whatever follows the newest version
    serves it. A run that makes the withdrawn model again does not push it.
    """
    from pipeline.commands.models.rollback import roll_back, whoever_runs_this
    from pipeline.commands.models.shown import describe_rollback

    place = one_place(places, changes=True)
    done = roll_back(place.location, version, by=by or whoever_runs_this(), reason=reason)
    _print(
        as_json,
        lambda: {"destination": place.location, **done.to_dict()},
        lambda: describe_rollback(done, place.location),
    )
