"""A folder that the workers of an engine see as well: where a Beam task works, if it has one.

The launcher stages artifacts on the pod's own disk, which the workers of a Flink cluster, for
instance, do not see. So inputs are copied to a folder of the shared volume, the executor and the
workers meet there, and what they leave is copied back for the launcher.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from components.support.errors import DeploymentError
from pipeline.kubeflow.container.executor_input import TaskInput


@contextlib.contextmanager
def in_shared_folder(task: TaskInput, folder: str) -> Iterator[None]:
    """Lets the artifacts of a task, and its temporary files, be in a shared folder meanwhile.

    Args:
        task: its artifacts have other paths within the block; outputs return only if it succeeds.
        folder: an existing folder; empty leaves everything where it is.

    Raises:
        DeploymentError: there is no such folder, or nobody may write to it.
    """
    if not folder:
        yield
        return
    try:
        place = Path(tempfile.mkdtemp(prefix="covers-", dir=folder))
    except OSError as error:
        raise DeploymentError(
            "Expected engine.shared_folder to be on a volume that this task can write to. "
            f"Received: {error}."
        ) from error
    staged = [
        (kind, artifact, artifact.uri, str(place / kind / key / str(number)))
        for kind, group in (("inputs", task.inputs), ("outputs", task.outputs))
        for key, artifacts in group.items()
        for number, artifact in enumerate(artifacts)
    ]
    before = tempfile.tempdir
    temporary = place / "temporary"
    temporary.mkdir()
    try:
        for kind, artifact, uri, shared in staged:
            if kind == "inputs" and Path(uri).is_dir():
                shutil.copytree(uri, shared)
            task.names.add(shared, task.names.restore(uri))
            artifact.uri = shared
        tempfile.tempdir = str(temporary)
        yield
        for kind, _, uri, shared in staged:
            if kind == "outputs" and Path(shared).is_dir():
                shutil.copytree(shared, uri, dirs_exist_ok=True)
    finally:
        tempfile.tempdir = before
        for _, artifact, uri, _ in staged:
            artifact.uri = uri
        shutil.rmtree(place, ignore_errors=True)
