"""Which run of a pipeline root made a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from components.contracts import nodes
from components.contracts.files import serving_model
from components.contracts.signatures import read_model_description
from components.support.errors import ConfigError, CoversError
from pipeline.runner.history import RunHistory, open_history


@dataclasses.dataclass(frozen=True)
class ModelRun:
    """The run that made a model.

    Attributes:
        run_id: its identity.
        pipeline: its pipeline.
        folders: key of an artifact -> its folder.
    """

    run_id: str
    pipeline: str
    folders: Mapping[str, Path]


def find_model_run(
    pipeline_root: Path, model: Path, run: str | None, wanted: Mapping[str, str]
) -> ModelRun:
    """Finds the run that made a model and still has what is wanted of it.

    Args:
        pipeline_root: where runs landed.
        model: folder of the model, perhaps a copy.
        run: a run's id, or the beginning of it; None is the newest that made this very model.
        wanted: key of an artifact -> node that made it.

    Raises:
        ConfigError: there is no such run, it made another model, or it was pruned.
    """
    description = read_model_description(model)
    history = open_history(pipeline_root)
    past = history.runs() if history else []
    candidates = [each for each in past if each.run_id.startswith(run or "")]
    for each in candidates:
        assert history is not None
        if not _made(history, each.run_id, description):
            continue
        found = {key: history.outputs(each.run_id, node).get(key) for key, node in wanted.items()}
        if any(artifact is None for artifact in found.values()):
            continue
        folders = {key: Path(artifact.uri) for key, artifact in found.items() if artifact}
        return ModelRun(each.run_id, each.pipeline, folders)
    known = f"run {run!r}" if run else "a run"
    kept = " and ".join(key.replace("_", " ") for key in wanted)
    raise ConfigError(
        f"Expected {known} in {pipeline_root} that made the model in {model} and still has its "
        f"{kept}. Received: {_none_of(len(candidates))}. Name the pipeline root "
        "of that run with --pipeline-root, or its model with --model."
    )


def _none_of(runs: int) -> str:
    if not runs:
        return "none"
    return f"{runs} run{'' if runs == 1 else 's'} that made other models, or whose files are gone"


def _made(history: RunHistory, run_id: str, description: object) -> bool:
    """Tells whether a run's model is the one described: has the same files and genres."""
    artifact = history.outputs(run_id, nodes.TRAINER).get(nodes.MODEL)
    if artifact is None:
        return False
    try:
        return read_model_description(serving_model(artifact.uri)) == description
    except CoversError:
        return False
