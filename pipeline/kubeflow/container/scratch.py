"""Temporary files on the volume that was made for them."""

from __future__ import annotations

import os
import tempfile

from components.support.errors import MachineError


def use_scratch(folder: str) -> None:
    """Lets this process and its children make their temporary files in a folder.

    Raises:
        MachineError: nothing can be written there. Python would take another folder silently.
    """
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise MachineError(
            f"Expected a volume at {folder} that user {os.geteuid()} can write to, as the task "
            f"requests in kubeflow.tasks (scratch). Received: {error.strerror}. Choose a "
            "storage_class whose volumes every user may write to, set fsGroup by an admission "
            "policy, or remove scratch."
        ) from error
    os.environ["TMPDIR"] = tempfile.tempdir = folder
