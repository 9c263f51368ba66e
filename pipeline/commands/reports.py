"""The reports of runs: written for runs that ended early, found again, and compared."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from components.contracts import nodes
from components.contracts.metrics import COMPARED, COMPARED_PER_GENRE
from components.support.errors import ConfigError
from pipeline.config import PipelineConfig
from pipeline.runner.history import PastRun, RunHistory, past_runs
from pipeline.runner.result import RunResult

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

    from pipeline.commands.compare.record import ReportRecord

# Report input -> node and output key.
_OUTPUTS = {
    nodes.SCHEMA: (nodes.LABEL_SCHEMA_GEN, nodes.SCHEMA),
    nodes.EXAMPLES: (nodes.COVER_EXAMPLE_GEN, nodes.EXAMPLES),
    nodes.QUARANTINE: (nodes.COVER_EXAMPLE_GEN, nodes.QUARANTINE),
    nodes.STATISTICS: (nodes.STATISTICS_GEN, nodes.STATISTICS),
    nodes.ANOMALIES: (nodes.EXAMPLE_VALIDATOR, nodes.ANOMALIES),
    nodes.TUNER_RESULTS: (nodes.TUNER, nodes.TUNER_RESULTS),
    nodes.MODEL: (nodes.TRAINER, nodes.MODEL),
    nodes.MODEL_RUN: (nodes.TRAINER, nodes.MODEL_RUN),
    nodes.PREDICTIONS: (nodes.BATCH_INFERENCE, nodes.PREDICTIONS),
    nodes.EVALUATION: (nodes.EVALUATOR, nodes.EVALUATION),
    nodes.INFRA_BLESSING: (nodes.INFRA_VALIDATOR, nodes.BLESSING),
}

_LEAST_WIDTH = 30

_logger = logging.getLogger(__name__)


def report_of_node(history: RunHistory, run_id: str) -> Path | None:
    """Returns the page that ReportGen wrote or took from the cache; None if it did not run."""
    from components.contracts.artifacts import Report

    artifact = history.outputs(run_id, nodes.REPORT_GEN).get(nodes.REPORT)
    page = Path(artifact.uri) / Report.PAGE if artifact else None
    return page if page and page.is_file() else None


def write_early_report(
    folder: Path, history: RunHistory, config: PipelineConfig, result: RunResult
) -> Path | None:
    """Writes the report of a run that ended before ReportGen, from what it produced.

    Args:
        folder: where to write.
        history: knows the run's artifacts.
        config: the pipeline's configuration.
        result: how the run ended.

    Returns:
        The page; None if it could not be written, which must not hide why the run ended.
    """
    from components.report_gen.build import write_report
    from components.report_gen.component import sources_of
    from components.report_gen.sources import RunFacts

    try:
        artifacts = _artifacts(history, result.run_id)
        facts = RunFacts(
            pipeline=config.name,
            outcome=result.outcome.value,
            data=result.data,
            config=config.model_dump(mode="json", by_alias=True),
            decision=result.decision,
            error=result.error,
            stages=result.stages,
            artifacts={
                key: {"uri": artifact.uri, "id": artifact.id} for key, artifact in artifacts.items()
            },
            run_id=result.run_id,
            log_file=result.log_file,
        )
        return write_report(folder, sources_of(artifacts), facts)
    except Exception:
        _logger.exception("The report could not be written.")
        return None


def find_report(pipeline_root: Path, run: str | None) -> Path:
    """Returns the report of the latest run that has one, or of a run by its id.

    Args:
        pipeline_root: where runs landed.
        run: a run's id, or the beginning of it; None is the latest run with a report.

    Raises:
        ConfigError: there is no such run, or it has no report.
        DeploymentError: the server of ML Metadata is away.
    """
    past = past_runs(pipeline_root)
    if run is not None:
        return page_of_run(find_run(past, run, pipeline_root))
    for each in past:
        if page := page_of(each):
            return page
    raise ConfigError(
        f"Expected a run with a report in {pipeline_root}. Received: "
        f"{len(past) or 'no'} run{'' if len(past) == 1 else 's'} without one. "
        "Start one with: covers run"
    )


def compare_reports(pages: tuple[Path, Path]) -> Iterator[str]:
    """Yields two reports side by side, as lines of a table.

    Raises:
        ConfigError: a report has no `report.json`.
        DamagedArtifact: that is damaged.
    """
    from pipeline.commands.compare.record import read_record  # brings scikit-learn

    first, second = (read_record(page.with_suffix(".json")) for page in pages)
    genres = dict.fromkeys([*_genres(first), *_genres(second)])
    compared = [(name, None, name) for name in COMPARED] + [
        (f"{genre}: {name}", genre, name) for genre in genres for name in COMPARED_PER_GENRE
    ]
    width = max(_LEAST_WIDTH, *(cell_len(title) + 2 for title, _, _ in compared))
    yield f"{'':<{width}}{'first':>12}{'second':>12}{'change':>12}"
    yield f"{'run ended':<{width}}{_outcome(first):>12}{_outcome(second):>12}"
    for title, genre, name in compared:
        values = (_value(report, genre, name) for report in (first, second))
        yield set_cell_size(title, width) + _numbers(*values)
    if _fingerprint(first) != _fingerprint(second):
        yield "The runs used different data: their numbers come from different test covers."


def find_run(past: list[PastRun], run: str, pipeline_root: Path) -> PastRun:
    """Returns the run whose id begins with `run`.

    Raises:
        ConfigError: there is none, or more than one.
    """
    matches = [each for each in past if each.run_id.startswith(run)]
    if len(matches) == 1:
        return matches[0]
    known = ", ".join(each.run_id for each in past[:5]) or "none"
    raise ConfigError(
        f"Expected the id of one run in {pipeline_root}, or the beginning of it. "
        f"Received: {run!r}, which matches {f'{len(matches)} runs' if matches else 'no run'}. "
        f"The latest: {known}. "
        "See them all with: covers runs"
    )


def page_of_run(run: PastRun) -> Path:
    """Returns the report of a run.

    Raises:
        ConfigError: it has none.
    """
    page = page_of(run)
    if page is None:
        raise ConfigError(
            f"Expected a report of run {run.run_id}. Received: none; it {_why_none(run)}"
        )
    return page


def page_of(run: PastRun) -> Path | None:
    """Returns the report of a run, or None if there is none."""
    if run.result is None or run.result.report is None:
        return None
    page = Path(run.result.report)
    return page if page.is_file() else None


def _artifacts(history: RunHistory, run_id: str) -> dict[str, metadata_store_pb2.Artifact]:
    found = {}
    for key, (node, output) in _OUTPUTS.items():
        artifact = history.outputs(run_id, node).get(output)
        if artifact is not None:
            found[key] = artifact
    return found


def _why_none(run: PastRun) -> str:
    if run.is_running:
        return "is still running. Wait for it."
    if run.is_pruned:
        why = "was removed by `covers prune`"
    elif run.result is None:
        why = "was interrupted"
    else:
        why = "ended before there was one"
    return f"{why}. Run it again with: covers run"


def _outcome(report: ReportRecord) -> str:
    return report.verdict.outcome.replace("_", " ")


def _genres(report: ReportRecord) -> list[str]:
    return report.evaluation.genres if report.evaluation else []


def _value(report: ReportRecord, genre: str | None, name: str) -> float | None:
    if report.evaluation is None:
        return None
    metrics = report.evaluation
    return (metrics.overall if genre is None else metrics.per_genre.get(genre, {})).get(name)


def _fingerprint(report: ReportRecord) -> Any:
    summary = report.data.summary
    return report.provenance.data_fingerprint, summary and summary.examples_by_split


def _numbers(first: float | None, second: float | None) -> str:
    def cell(value: float | None, form: str) -> str:
        return f"{'-' if value is None else format(value, form):>12}"

    change = None if first is None or second is None else second - first
    return f"{cell(first, '.3f')}{cell(second, '.3f')}{cell(change, '+.3f')}"
