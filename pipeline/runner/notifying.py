"""Tells a web hook how a run on this machine ended."""

from __future__ import annotations

from components.contracts.notices import Notice
from components.contracts.notifications import NotificationsConfig, notify
from pipeline.runner.result import RunResult


def notify_of(config: NotificationsConfig, result: RunResult) -> str:
    """Returns what was done in one line, or an empty text; see `notify`."""
    return notify(
        config,
        Notice(
            pipeline=result.pipeline,
            run_id=result.run_id,
            outcome=result.outcome,
            reasons=result.reasons,
            pushed_to=result.pushed_model,
            report=result.report,
        ),
    )
