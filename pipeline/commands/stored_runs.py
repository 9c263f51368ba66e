"""The runs of a cluster: an object store keeps their artifacts, and no metadata are here."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.contracts import nodes
from components.contracts.files import REPORT_DATA
from components.support.errors import ConfigError
from components.support.file_systems import is_url, local_copy, open_file_system, store_errors

_STAGED = {"/s3/": "s3://", "/gcs/": "gs://"}
"""Where the launcher of Kubeflow Pipelines stages a store, which a report may name."""


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """Where the artifacts of a run are that made a model.

    Attributes:
        run_id: the run.
        pipeline: its pipeline.
        artifacts: key -> URL or path.
    """

    run_id: str
    pipeline: str
    artifacts: Mapping[str, str]

    @contextlib.contextmanager
    def local(self) -> Iterator[dict[str, Path]]:
        """Gives the artifacts as local folders, which live in the block."""
        with contextlib.ExitStack() as stack:
            yield {
                key: stack.enter_context(local_copy(location))
                for key, location in self.artifacts.items()
            }


def find_stored_run(
    artifacts: str, recipe: str, run: str | None, wanted: Collection[str]
) -> StoredRun:
    """Finds the run that made a model by the reports among a cluster's artifacts, newest first.

    Args:
        artifacts: where Kubeflow Pipelines keeps the artifacts of its runs, or of one run.
        recipe: of the model.
        run: a run's id, or the beginning of it; None is the newest that made this model.
        wanted: keys of the artifacts.

    Raises:
        ConfigError: there is no report of such a run.
        DeploymentError: the object store refused or failed.
    """
    file_system, folder = open_file_system(artifacts)
    with store_errors(artifacts):
        reports = file_system.glob(f"{folder}/**/{nodes.REPORT_GEN}/**/{REPORT_DATA}", detail=True)
        newest_first = sorted(reports, key=lambda path: _modified(reports[path]), reverse=True)
        for path in newest_first:
            parts = path.split("/")
            run_id = parts[parts.index(nodes.REPORT_GEN) - 1]
            if run_id.startswith(run or ""):
                found = _run_of(file_system.cat_file(path), run_id, recipe, wanted)
                if found is not None:
                    return found
    raise ConfigError(
        f"Expected the report of {f'run {run!r}' if run else 'a run'} that made the model (recipe "
        f"{recipe[:7]}) below {artifacts}. Received: {len(reports)} reports, none of them. "
        "--artifacts is the pipeline_root that the package was compiled with."
    )


def _run_of(report: bytes, run_id: str, recipe: str, wanted: Collection[str]) -> StoredRun | None:
    try:
        provenance = json.loads(report)["provenance"]
        known = {key: provenance["artifacts"][key]["uri"] for key in wanted}
        if provenance["recipe"] != recipe:
            return None
        return StoredRun(
            run_id, provenance["pipeline"], {key: _stored(uri) for key, uri in known.items()}
        )
    except (ValueError, KeyError, TypeError):  # cut short, or of a run that ended before
        return None


def _modified(information: Mapping[str, Any]) -> str:
    return str(information.get("LastModified") or information.get("mtime") or "")


def _stored(location: str) -> str:
    if is_url(location):
        return location
    for staged, store in _STAGED.items():
        if location.startswith(staged):
            return store + location.removeprefix(staged)
    return location
