"""Logs in MLflow how a run on this machine ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from components.contracts import nodes
from components.contracts.files import REPORT_DATA, serving_model
from components.contracts.mlflow_runs.client import try_to_log_run
from components.contracts.mlflow_runs.config import MlflowConfig
from pipeline.runner.history import RunHistory
from pipeline.runner.result import RunResult
from pipeline.runner.workspace import Workspace


def log_to_mlflow(
    config: MlflowConfig | None,
    result: RunResult,
    open_history: Callable[[], RunHistory],
    workspace: Workspace,
) -> str:
    """Returns what was done in one line, or an empty text if there was nothing to do.

    Args:
        config: where to log, and what; None logs nothing.
        result: how the run ended.
        open_history: opens the history that has the run.
        workspace: where the run's artifacts are.
    """
    if config is None or result.outcome.ended_early or not result.report:
        return ""

    def model() -> Path | None:
        trained = open_history().outputs(result.run_id, nodes.TRAINER)
        return serving_model(trained[nodes.MODEL].uri) if nodes.MODEL in trained else None

    return try_to_log_run(
        config,
        Path(result.report).with_name(REPORT_DATA),
        model,
        retry=f"Log it later with: covers log-to-mlflow {result.run_id}",
        run_id=result.run_id,
        folder=workspace.mlflow,
    )
