"""Removes what killed commands left in a pipeline root.

Nobody else is in the root while it is locked: what looks unfinished then, is left over. But for a
rollback, which nobody should have to wait for: what it writes is locked.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.contracts.pushed_models import unfinished_pushes
from pipeline.runner.lock import temporary_left_over
from pipeline.runner.workspace import Workspace, below_root, samples, workspaces

if TYPE_CHECKING:
    from ml_metadata.metadata_store import MetadataStore
    from ml_metadata.proto.metadata_store_pb2 import Execution

    from pipeline.runner.metadata import MetadataLocation

MEGABYTE = 1_000_000
_WORTH_A_LINE = 100 * MEGABYTE
_NODE_CONTEXT = "node"
_SYSTEM_FOLDER = ".system"  # in each node's folder: what TFX keeps during one execution
_PARTIAL = "*.partial"
_NEWEST_EXECUTIONS = 1000
_PARTS_OF_AN_ARTIFACT = 4  # pipeline, node, key, execution

_logger = logging.getLogger(__name__)


def sweep(location: MetadataLocation, say: Callable[[str], None]) -> int:
    """Removes what killed commands left, and closes the executions they had begun.

    Args:
        location: the pipeline root, which whoever calls this has locked, and its ML Metadata.
        say: tells a person, if there was much.

    Returns:
        How many bytes were freed.
    """
    from pipeline.runner.metadata import locate, open_store

    root = location.pipeline_root
    freed = sum(map(remove, unfinished_files(root)))
    if locate(root):
        store = open_store(location)
        if location.server is None:  # on a server, a root has its id wherever it is
            _follow_a_move(store, root)
        freed += sum(map(remove, list(orphans(store, location))))
        freed += remove_marked_artifacts(store, root)
        _close_executions(store, location)
    if freed >= _WORTH_A_LINE:
        say(f"  Removed {freed / MEGABYTE:,.0f} MB that killed runs had left.")
    return freed


def unfinished_files(root: Path) -> list[Path]:
    """Lists what ML Metadata knows nothing of: files and folders that were never finished."""
    from pipeline.commands.models.deletion import left_over
    from pipeline.commands.sample import half_written_samples

    found = [*temporary_left_over(root), *half_written_samples(samples(root))]
    for workspace in workspaces(root):
        found += unfinished_pushes(workspace.push_destination)
        found += left_over(workspace.push_destination)
        found += workspace.features.glob(_PARTIAL)
        found += workspace.checkpoints.glob(f"*/{_PARTIAL}")
    return found


def orphans(store: MetadataStore, location: MetadataLocation) -> Iterator[Path]:
    """Yields folders of executions that did not succeed, and what TFX keeps during one.

    Folders of nodes or executions that ML Metadata does not know are none of its business: they
    are of another database, such as the one that this one replaced.
    """
    of_executions: dict[int, list[Path]] = {}
    for node in _node_folders(store, location):
        yield from node.glob(f"{_SYSTEM_FOLDER}/*/*")
        for folder in node.glob("*/*"):
            if folder.name.isdecimal() and folder.parent.name != _SYSTEM_FOLDER:
                of_executions.setdefault(int(folder.name), []).append(folder)
    for execution in store.get_executions_by_id(list(of_executions)):
        folders = of_executions[execution.id]
        if _is_successful(execution):
            yield from (folder for folder in folders if _is_of_no_artifact(store, folder))
        else:
            nodes = _nodes_of(store, execution, location)
            yield from (folder for folder in folders if folder.parents[1] in nodes)


def mark_artifacts(store: MetadataStore, ids: Iterable[int]) -> None:
    """Decides that artifacts are to be removed; from then on no run takes them from the cache."""
    from ml_metadata.proto.metadata_store_pb2 import Artifact

    found = store.get_artifacts_by_id(list(ids))
    artifacts = [artifact for artifact in found if artifact.state == Artifact.LIVE]
    for artifact in artifacts:
        artifact.state = Artifact.MARKED_FOR_DELETION
    store.put_artifacts(artifacts)


def remove_marked_artifacts(store: MetadataStore, root: Path) -> int:
    """Removes the artifacts that are marked, be it by a command that was killed; returns bytes."""
    from ml_metadata.proto.metadata_store_pb2 import Artifact

    # On a server there are other roots' as well.
    marked = [
        artifact
        for artifact in store.get_artifacts()
        if artifact.state == Artifact.MARKED_FOR_DELETION
        and below_root(artifact.uri, root).is_relative_to(root)
    ]
    freed = 0
    for artifact in marked:
        folder = artifact_folder(artifact.uri, root)
        freed += remove(folder) if folder else 0
        artifact.state = Artifact.DELETED
    if marked:
        store.put_artifacts(marked)
    return freed


def artifact_folder(uri: str, root: Path) -> Path | None:
    """Returns the folder of an artifact; None if it is not one of a node in this root."""
    folder = below_root(uri, root)
    if not folder.is_relative_to(root):
        return None
    parts = folder.relative_to(root).parts
    is_served = folder.is_relative_to(Workspace(root, parts[0]).push_destination) if parts else True
    return folder if len(parts) >= _PARTS_OF_AN_ARTIFACT and not is_served else None


def remove(path: Path) -> int:
    """Removes a file or folder as far as possible, and returns how many bytes that freed."""
    before = size_of(path)
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        _logger.warning("Could not remove %s: %s", path, error)
        return before - size_of(path)
    if before:
        _logger.info("Removed %s, %.1f MB.", path, before / MEGABYTE)
    return before


def size_of(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder; 0 if there is nothing."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size if os.path.lexists(path) else 0
    return sum(
        (Path(folder) / file).lstat().st_size
        for folder, _, files in os.walk(path)
        for file in files
    )


def _node_folders(store: MetadataStore, location: MetadataLocation) -> Iterator[Path]:
    for context in store.get_contexts_by_type(_NODE_CONTEXT):
        if folder := _node_folder(context.name, location):
            yield folder


def _nodes_of(
    store: MetadataStore, execution: Execution, location: MetadataLocation
) -> set[Path | None]:
    contexts = store.get_contexts_by_execution(execution.id)
    return {_node_folder(context.name, location) for context in contexts} - {None}


def _node_folder(context: str, location: MetadataLocation) -> Path | None:
    """Returns the folder of a node in the pipeline root; None if the context is of another root."""
    # TFX names a node's context "<pipeline>.<node>".
    pipeline, _, node = context.rpartition(".")
    if not pipeline or not pipeline.endswith(location.suffix):
        return None
    return location.pipeline_root / pipeline.removesuffix(location.suffix) / node


def _is_successful(execution: Execution) -> bool:
    return execution.last_known_state in (execution.COMPLETE, execution.CACHED)


def _is_of_no_artifact(store: MetadataStore, folder: Path) -> bool:
    """Whether a node had the folder made for an output that it then did not give."""
    return not any(folder.iterdir()) and not store.get_artifacts_by_uri(str(folder))


def _follow_a_move(store: MetadataStore, root: Path) -> None:
    """Corrects the paths of artifacts in a root that was moved or copied.

    Else the cache would find whatever is at the old place now. One look tells: runs give new
    artifacts the new paths, and all others are corrected at once.
    """
    from ml_metadata.proto.metadata_store_pb2 import Artifact

    artifacts = [each for each in store.get_artifacts() if each.state == Artifact.LIVE]
    newest = max(artifacts, key=lambda artifact: artifact.id, default=None)
    if newest is None or _is_right(newest.uri, root):
        return
    for artifact in artifacts:
        place = below_root(artifact.uri, root)
        artifact.uri = str(place)
        if not place.is_relative_to(root):
            artifact.state = Artifact.DELETED
    store.put_artifacts(artifacts)
    _logger.info("The pipeline root is %s now: %d artifacts follow.", root, len(artifacts))


def _is_right(uri: str, root: Path) -> bool:
    place = below_root(uri, root)
    return str(place) == uri and place.is_relative_to(root)


def _close_executions(store: MetadataStore, location: MetadataLocation) -> None:
    from ml_metadata.metadata_store import ListOptions, OrderByField
    from ml_metadata.proto.metadata_store_pb2 import Execution

    # Every run closes those before it. ML Metadata of tfx-1.21 cannot look for a state.
    newest = ListOptions(limit=_NEWEST_EXECUTIONS, order_by=OrderByField.ID, is_asc=False)
    begun = [
        execution
        for execution in store.get_executions(newest)
        if execution.last_known_state == Execution.RUNNING and _nodes_of(store, execution, location)
    ]
    for execution in begun:
        execution.last_known_state = Execution.FAILED
    if begun:
        store.put_executions(begun)
        _logger.info("%d executions of killed runs count as failed now.", len(begun))
