"""Backbones that are read from files: where the tasks of a compiled pipeline find them."""

from __future__ import annotations

from pathlib import Path

from components.contracts import nodes
from components.support.errors import ConfigError
from components.support.file_systems import is_url
from components.trainer.foundation.config import FoundationModel
from pipeline.config import PipelineConfig


def backbones_are_here(config: PipelineConfig) -> bool:
    """Tells whether the machine that compiles has the files of all backbones, too.

    The tasks fetch what is in an object store, and find the rest on a volume or in the image.

    Raises:
        ConfigError: a backbone is neither at a URL, nor below a volume of the tasks that read it,
            nor at its path on this machine, as it has to be in the image.
    """
    models = [each for each in config.trainer.backbone if isinstance(each, FoundationModel)]
    here = [_is_here(config, model) for model in models]  # all, since one may be refused
    return all(here)


def _is_here(config: PipelineConfig, model: FoundationModel) -> bool:
    if is_url(model.location):
        return False
    if Path(model.location).exists():
        return True
    for node in (nodes.TRAINER, nodes.TUNER) if config.tuner else (nodes.TRAINER,):
        paths = [mount.path for mount in config.kubeflow.task(node).volumes]
        if not any(Path(model.location).is_relative_to(path) for path in paths):
            raise ConfigError(
                f"Expected backbone.{model.kind} to be a URL (s3://, gs://), a path below a volume "
                f"of {node}, or a path that this machine and the image both have. "
                f"Received: {model.location}, which is not on this machine; volumes of {node} at "
                f"{', '.join(paths) or 'no path'}."
            )
    return False
