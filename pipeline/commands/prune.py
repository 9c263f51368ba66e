"""Removes what older runs left behind and nothing newer needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contracts.outcome import Outcome
from pipeline.runner.history import PastRun, RunHistory
from pipeline.runner.lock import hold_root
from pipeline.runner.metadata import MetadataLocation, locate, open_store
from pipeline.runner.sweep import (
    MEGABYTE,
    artifact_folder,
    mark_artifacts,
    orphans,
    remove,
    remove_marked_artifacts,
    size_of,
    sweep,
    unfinished_files,
)
from pipeline.runner.workspace import Workspace, below_root, generated_samples, workspaces

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What was removed, or would be.

    Attributes:
        kept: ids of the runs that are kept, newest first.
        pruned: ids of the runs that are not, without those that were pruned before.
        freed: bytes by what they were.
        dry_run: whether everything is still there.
    """

    kept: tuple[str, ...]
    pruned: tuple[str, ...]
    freed: dict[str, int]
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """Returns it as a JSON object."""
        return {**dataclasses.asdict(self), "freed_bytes": sum(self.freed.values())}


def prune(pipeline_root: Path, keep: int, *, dry_run: bool = False) -> Pruned:
    """Removes what only older runs need: artifacts, logs, reports and generated samples.

    Pushed versions are kept. So are the runs themselves, in ML Metadata.

    Args:
        pipeline_root: where runs landed.
        keep: how many runs of each pipeline to keep, the newest. A run that was interrupted is
            kept if it is newer than they are, but does not count.
        dry_run: removes nothing.

    Raises:
        ConfigError: a run is using the pipeline root.
    """
    root = pipeline_root.resolve()
    location = locate(root)
    if location is None:
        return Pruned((), (), {}, dry_run)
    with hold_root(root):
        return _prune(location, keep, dry_run)


def describe_pruned(pruned: Pruned, pipeline_root: Path) -> Iterator[str]:
    """Yields what happened, in plain lines."""
    if not (pruned.kept or pruned.pruned):
        yield f"No runs in {pipeline_root} yet. Start one with: covers run"
        return
    runs = f"{len(pruned.pruned):,} run{'' if len(pruned.pruned) == 1 else 's'}"
    freed = f"{sum(pruned.freed.values()) / MEGABYTE:,.1f} MB"
    yield f"{'Would prune' if pruned.dry_run else 'Pruned'} {runs}, kept {len(pruned.kept):,}: " + (
        f"{freed} to be freed" if pruned.dry_run else f"{freed} freed"
    )
    for what, size in pruned.freed.items():
        if size:
            yield f"  {what:<26}{size / MEGABYTE:>12,.1f} MB"


def _prune(location: MetadataLocation, keep: int, dry_run: bool) -> Pruned:
    root = location.pipeline_root
    store = open_store(location)
    if dry_run:
        left_over = sum(map(size_of, [*unfinished_files(root), *orphans(store, location)]))
    else:
        left_over = sweep(location, say=lambda _: None)
    history = RunHistory(location)
    runs = history.runs()
    kept = _newest_of_each_pipeline(runs, keep)
    others = [run for run in runs if run not in kept]
    artifacts = history.artifacts(run.run_id for run in others)
    artifacts -= history.artifacts(run.run_id for run in kept)
    files = {
        "logs and early reports": _logs_and_reports(root, kept, others),
        "generated samples": _unused_samples(root, kept),
        "of lost databases": [each.earlier for each in workspaces(root) if each.earlier.is_dir()],
    }
    dispose = size_of if dry_run else remove
    # Artifacts come last: to note in ML Metadata that they are gone takes room on the disk.
    freed = {what: sum(map(dispose, paths)) for what, paths in files.items()}
    freed["artifacts"] = _artifacts(store, root, artifacts, dry_run)
    freed["left by killed runs"] = left_over
    pruned = tuple(run.run_id for run in others if not run.is_pruned)
    if not dry_run:
        history.mark_pruned(pruned)
    return Pruned(tuple(run.run_id for run in kept), pruned, freed, dry_run)


def _newest_of_each_pipeline(runs: Sequence[PastRun], keep: int) -> list[PastRun]:
    kept = []
    counts: dict[str, int] = {}
    for run in runs:
        if counts.get(run.pipeline, 0) < keep:
            kept.append(run)
            finished = run.verdict != Outcome.INTERRUPTED.value
            counts[run.pipeline] = counts.get(run.pipeline, 0) + finished
    return kept


def _logs_and_reports(root: Path, kept: list[PastRun], others: list[PastRun]) -> list[Path]:
    """Lists the files of runs, also of those that ended before ML Metadata knew of them."""
    found = []
    for pipeline in {run.pipeline for run in others if run.pipeline}:
        workspace = Workspace(root, pipeline)
        oldest = min((run.run_id for run in kept if run.pipeline == pipeline), default=None)
        files = [*workspace.logs.glob("*.log"), *workspace.reports.glob("*")]
        # The ids of runs sort by time.
        found += [file for file in files if oldest is None or file.stem < oldest]
    return found


def _unused_samples(root: Path, kept: list[PastRun]) -> list[Path]:
    used = {below_root(run.result.data, root) for run in kept if run.result}
    return [sample for sample in generated_samples(root) if sample not in used]


def _artifacts(store: MetadataStore, root: Path, ids: set[int], dry_run: bool) -> int:
    if not ids:
        return 0
    if dry_run:
        folders = (artifact_folder(each.uri, root) for each in store.get_artifacts_by_id(list(ids)))
        return sum(size_of(folder) for folder in folders if folder)
    mark_artifacts(store, ids)
    return remove_marked_artifacts(store, root)
