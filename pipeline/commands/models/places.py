"""Where the pushed models are that a command is about."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import click

from components.support.errors import ConfigError, DeploymentError
from pipeline.runner.workspace import DEFAULT_PIPELINE_ROOT, model_folders

_PATH = click.Path(path_type=Path)


@dataclasses.dataclass(frozen=True)
class Place:
    """A push destination: its path or URL, and the pipeline that it is of, empty if unknown."""

    location: str
    pipeline: str = ""


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say where; the command receives `places`, a list of `Place`."""

    @click.option(
        "--destination",
        metavar="PATH_OR_URL",
        help="A folder of pushed versions, local or in an object store, such as "
        "s3://bucket/serving.",
    )
    @click.option(
        "--pipeline-root",
        type=_PATH,
        default=DEFAULT_PIPELINE_ROOT,
        show_default=True,
        help="Without --destination: the folder of runs, metadata and pushed models.",
    )
    @click.option("--pipeline", metavar="NAME", help="Only the models of this pipeline.")
    @functools.wraps(command)
    def placed(
        *arguments: Any,
        destination: str | None,
        pipeline_root: Path,
        pipeline: str | None,
        **options: Any,
    ) -> None:
        command(*arguments, places=find_places(destination, pipeline_root, pipeline), **options)

    return placed


def find_places(destination: str | None, pipeline_root: Path, pipeline: str | None) -> list[Place]:
    """Returns the push destinations that the options name, by pipeline.

    Raises:
        ConfigError: the options contradict each other, a pipeline has no pushed models, or the
            destination holds a secret.
        DeploymentError: there are no pushed models.
    """
    if destination is not None:
        from components.support.credentials import refuse_credentials

        refuse_credentials(destination)
        if pipeline is not None:
            raise ConfigError(
                "Expected --destination or --pipeline. Received: both. A destination is that of "
                "one pipeline."
            )
        return [Place(destination.rstrip("/") or "/")]
    places = [Place(str(folder), folder.parent.name) for folder in model_folders(pipeline_root)]
    if not places:
        raise DeploymentError(
            f"Expected pushed models below {pipeline_root}. Received: none. Run the pipeline with "
            "`covers run`, or name another place with --destination or --pipeline-root."
        )
    if pipeline is None:
        return places
    named = [place for place in places if place.pipeline == pipeline]
    if not named:
        raise ConfigError(
            f"Expected a pipeline with pushed models below {pipeline_root}. Received: "
            f"{pipeline!r}. There are: {_names(places)}."
        )
    return named


def one_place(
    places: Sequence[Place], versions: Collection[int] = (), *, changes: bool = False
) -> Place:
    """Returns the destination that a command is about.

    Args:
        places: the destinations to choose from, at least one.
        versions: versions that the command is given; they tell the destination.
        changes: whether the command changes something; a number typed wrongly must not then be
            taken for a version of another pipeline.

    Raises:
        ConfigError: it may be one of several.
    """
    if len(places) == 1:
        return places[0]
    from components.contracts.pushed_models import version_numbers

    if versions and not changes:
        having = [place for place in places if version_numbers(place.location) >= set(versions)]
        if len(having) == 1:
            return having[0]
    raise ConfigError(
        f"Expected the name of one pipeline, as there are pushed models of {len(places)}. "
        f"Received: none. Choose with --pipeline: {_names(places)}."
    )


def _names(places: Sequence[Place]) -> str:
    from components.contracts.genre_names import listing

    return listing(place.pipeline for place in places)
