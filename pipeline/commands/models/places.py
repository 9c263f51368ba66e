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

FOREIGN_MODEL = (
    "Note: a SavedModel is code that runs with your rights. --model is for models that you trust."
)

_PATH = click.Path(path_type=Path)


@dataclasses.dataclass(frozen=True)
class Place:
    """A push destination: its path or URL, and the pipeline that it is of, empty if unknown."""

    location: str
    pipeline: str = ""


@dataclasses.dataclass(frozen=True)
class Where:
    """The options that say where pushed models are, and what they mean.

    Attributes:
        destination: a folder or URL of pushed versions, or None.
        pipeline_root: where else to look.
        pipeline: the pipeline whose models are meant, or None.
    """

    destination: str | None
    pipeline_root: Path
    pipeline: str | None

    def places(self) -> list[Place]:
        """Returns the push destinations; see `find_places`."""
        return find_places(self.destination, self.pipeline_root, self.pipeline)

    def model(self, model: Path | None) -> str:
        """Returns a model that is given, or else the one that is served: a path or a URL.

        Raises:
            ConfigError: the options contradict each other.
            DeploymentError: no version was pushed, or that one is damaged.
        """
        self.check(model)
        return str(model) if model else served_model(self.places())

    def check(self, model: Path | None) -> None:
        """Raises if a model is given and a place as well.

        Raises:
            ConfigError: says so.
        """
        if model and (self.destination is not None or self.pipeline is not None):
            raise ConfigError(
                "Expected --model, or --destination or --pipeline. Received: both. --model names "
                "the model itself."
            )

    def is_foreign(self, model: Path | None) -> bool:
        """Tells whether a model is given that no pipeline of the pipeline root made."""
        return bool(model) and not Path(str(model)).resolve().is_relative_to(
            self.pipeline_root.resolve()
        )


def where_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say where pushed models are; the command receives `where`."""

    @click.option(
        "--destination",
        metavar="PATH_OR_URL",
        help="The folder of pushed versions, local or in an object store, such as "
        "s3://bucket/serving.",
    )
    @click.option(
        "--pipeline-root",
        type=_PATH,
        default=DEFAULT_PIPELINE_ROOT,
        show_default=True,
        help="The folder of runs, metadata and, without --destination, pushed models.",
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
        command(*arguments, where=Where(destination, pipeline_root, pipeline), **options)

    return placed


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the same options; the command receives `places`, a list of `Place`."""

    @where_options
    @functools.wraps(command)
    def placed(*arguments: Any, where: Where, **options: Any) -> None:
        command(*arguments, places=where.places(), **options)

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


def newest_place(places: Sequence[Place]) -> Place:
    """Returns the destination with the version that was pushed last, whole or not.

    Args:
        places: the destinations to choose from, at least one.

    Raises:
        DeploymentError: a destination cannot be read.
    """
    from components.contracts.pushed_models import version_numbers

    return max(places, key=lambda place: max(version_numbers(place.location), default=0))


def served_model(places: Sequence[Place]) -> str:
    """Returns path or URL of the version that is served, of the destination pushed to last.

    Raises:
        DeploymentError: no version was pushed, or that one is damaged.
    """
    from components.contracts.pushed_models import newest_version

    newest = newest_version(newest_place(places).location)
    if newest is None:
        raise DeploymentError(
            f"Expected a pushed model in {' or '.join(place.location for place in places)}. "
            "Received: none. Run the pipeline with `covers run`, or name another place with "
            "--destination or --pipeline-root."
        )
    return newest.location


def _names(places: Sequence[Place]) -> str:
    from components.contracts.genre_names import listing

    return listing(place.pipeline for place in places)
