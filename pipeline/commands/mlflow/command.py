"""Logs past runs in MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.contracts.files import serving_model
from components.contracts.mlflow_runs.client import Logged, check_installed, log_run
from components.contracts.mlflow_runs.config import MlflowConfig
from components.support.errors import ConfigError, CoversError, DamagedArtifact
from pipeline.commands.compare.selection import ComparedRun, evaluated_runs, named_runs
from pipeline.runner.workspace import MLFLOW_FOLDER


def log_runs(
    given: Sequence[str], pipeline_root: Path, options: Mapping[str, Any]
) -> Iterator[tuple[str, Logged]]:
    """Logs runs in MLflow, and yields the name of each and what was done.

    Args:
        given: ids of runs, beginnings of them, or paths of reports; none is all of the root.
        pipeline_root: where runs landed.
        options: of `MlflowConfig`, which count before those that a run was started with.

    Raises:
        ConfigError: MLflow's client is not installed, an option is wrong, there is no such run, or
            it has no evaluation.
        DamagedArtifact: a report or model is damaged; if no run was named, all other runs are
            logged before.
        DeploymentError: MLflow, or the server of ML Metadata, failed.
    """
    check_installed()
    unreadable: list[CoversError] = []
    if given:
        runs = named_runs(given, pipeline_root)
    else:
        runs = evaluated_runs(pipeline_root, unreadable=unreadable)
    if not runs and not unreadable:
        raise ConfigError(
            f"Expected runs with an evaluation and a report in {pipeline_root}. Received: none. "
            "Start one with: covers run"
        )
    count = len(runs) + len(unreadable)
    for run in runs:
        try:
            yield run.name, _log(run, pipeline_root, options)
        except DamagedArtifact as error:
            if given:
                raise
            unreadable.append(error)
    if unreadable:
        raise DamagedArtifact(
            f"Expected {count} runs to be as they were written. Received: {len(unreadable)} that "
            f"are damaged and not logged; all others are. The first: {unreadable[0]}"
        )


def _log(run: ComparedRun, pipeline_root: Path, options: Mapping[str, Any]) -> Logged:
    started_with = run.record.provenance.config.get("mlflow") or {}
    return log_run(
        MlflowConfig.from_fields({**started_with, **options}),
        run.report,
        serving_model(run.model) if run.model else None,
        run_id=run.name if run.name != str(run.report) else "",
        folder=pipeline_root.resolve() / MLFLOW_FOLDER,
    )
