"""The runs to compare: by id, or by the path of a report."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from components.contracts import nodes
from components.contracts.files import REPORT_DATA
from components.support.errors import ConfigError, CoversError, DamagedArtifact
from components.support.file_systems import is_url
from pipeline.commands.compare.record import Metrics, ReportRecord, read_record
from pipeline.commands.reports import find_run, page_of, page_of_run
from pipeline.runner.history import PastRun, RunHistory, open_history

LATEST = 5
"""How many runs are compared if none is named."""

_FILES = (".json", ".html")


@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """A run with an evaluation.

    Attributes:
        name: its id, or the path of its report.
        when: when it began or, where only the report is known, when that was written.
        outcome: an `Outcome`, by its value.
        report: its `report.json`.
        record: what that holds.
        metrics: its evaluation.
        predictions: folder of the predictions for the test split; None if it is not here.
        model: folder of the model that made them, likewise.
    """

    name: str
    when: datetime.datetime
    outcome: str
    report: Path
    record: ReportRecord
    metrics: Metrics
    predictions: Path | None
    model: Path | None


def select_runs(given: Sequence[str], pipeline_root: Path) -> list[ComparedRun]:
    """Returns the named runs in their order or, if none is named, the latest, oldest first.

    Args:
        given: ids of runs, beginnings of them, or paths of reports.
        pipeline_root: where runs landed.

    Raises:
        ConfigError: there is no such run or report, it has no evaluation, a run is named twice,
            or there are fewer than two.
        DamagedArtifact: a report is damaged.
        DeploymentError: the server of ML Metadata is away.
    """
    if len(given) == 1:
        raise ConfigError(
            f"Expected two runs or more. Received: {given[0]!r} alone. Name another, or none to "
            f"compare the latest {LATEST}."
        )
    if given:
        return named_runs(given, pipeline_root)
    evaluated = evaluated_runs(pipeline_root, LATEST)
    if len(evaluated) < 2:
        raise ConfigError(
            f"Expected two runs or more with an evaluation and a report in {pipeline_root}. "
            f"Received: {len(evaluated) or 'none'}. Start another with: covers run"
        )
    return evaluated


def named_runs(given: Sequence[str], pipeline_root: Path) -> list[ComparedRun]:
    """Returns the named runs in their order.

    Args:
        given: ids of runs, beginnings of them, or paths of reports.
        pipeline_root: where runs landed.

    Raises:
        CoversError: see `select_runs`.
    """
    history = None if all(map(_is_path, given)) else open_history(pipeline_root)
    past = history.runs() if history else []
    chosen = [
        _from_file(each) if _is_path(each) else _from_past(each, past, history, pipeline_root)
        for each in given
    ]
    names = [str(run.report.resolve()) if _is_path(run.name) else run.name for run in chosen]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Expected each run once. Received: {name} more than once.")
    return chosen


def evaluated_runs(
    pipeline_root: Path,
    most: int | None = None,
    unreadable: list[CoversError] | None = None,
) -> list[ComparedRun]:
    """Returns the latest runs with an evaluation and a report, oldest first.

    Args:
        pipeline_root: where runs landed.
        most: how many; None is all.
        unreadable: takes the errors of those whose report cannot be read or is damaged; None
            raises the first.

    Raises:
        CoversError: see `select_runs`.
    """
    history = open_history(pipeline_root)
    past = history.runs() if history else []
    evaluated = [run for run in past if run.result and run.result.evaluation and page_of(run)]
    compared = []
    for run in reversed(evaluated[:most]):
        try:
            compared.append(_compared(run, history))
        except (ConfigError, DamagedArtifact) as error:
            if unreadable is None:
                raise
            unreadable.append(error)
    return compared


def _from_past(
    given: str, past: list[PastRun], history: RunHistory | None, pipeline_root: Path
) -> ComparedRun:
    return _compared(find_run(past, given, pipeline_root), history)


def _compared(run: PastRun, history: RunHistory | None) -> ComparedRun:
    assert history is not None
    report = page_of_run(run).with_name(REPORT_DATA)
    record = read_record(report)
    return ComparedRun(
        name=run.run_id,
        when=run.started.astimezone(datetime.timezone.utc),
        outcome=run.verdict,
        report=report,
        record=record,
        metrics=_metrics(record, f"run {run.run_id}"),
        predictions=_output(history, run, nodes.BATCH_INFERENCE, nodes.PREDICTIONS),
        model=_output(history, run, nodes.TRAINER, nodes.MODEL),
    )


def _from_file(given: str) -> ComparedRun:
    if is_url(given):
        raise ConfigError(
            f"Expected a report on this machine. Received: {given}. Copy it here, and give the "
            "path of the copy."
        )
    path = Path(given)
    report = path.with_suffix(".json") if path.suffix in _FILES else path / REPORT_DATA
    record = read_record(report)
    return ComparedRun(
        name=record.provenance.run_id or str(report),
        when=record.created,
        outcome=record.verdict.outcome,
        report=report,
        record=record,
        metrics=_metrics(record, str(report)),
        predictions=_artifact(record, nodes.PREDICTIONS),
        model=_artifact(record, nodes.MODEL),
    )


def _is_path(given: str) -> bool:
    return is_url(given) or os.sep in given or Path(given).suffix in _FILES


def _metrics(record: ReportRecord, what: str) -> Metrics:
    if record.evaluation is None:
        raise ConfigError(
            f"Expected runs with an evaluation. Received: {what}, which ended before there was "
            f"one: {record.verdict.outcome.replace('_', ' ')}. Leave it out; its report says why."
        )
    return record.evaluation


def _output(history: RunHistory, run: PastRun, node: str, key: str) -> Path | None:
    artifact = history.outputs(run.run_id, node).get(key)
    return _folder(artifact.uri) if artifact else None


def _artifact(record: ReportRecord, key: str) -> Path | None:
    stored = record.provenance.artifacts.get(key)
    return _folder(stored.uri) if stored else None


def _folder(uri: str) -> Path | None:
    return Path(uri) if uri and not is_url(uri) and Path(uri).is_dir() else None
