"""Says in a sentence why an engine ended a Beam job."""

from __future__ import annotations

import re

from components.support.errors import DeploymentError
from components.support.texts import shortened

# What Beam's portable runners raise; in this process, what a stage raises comes as it is.
_ENDED = re.compile(r"Pipeline \S+ failed in state|Rendezvous of RPC that terminated with")
_CAUSE = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Artifact)\b: .+$", re.MULTILINE)
_NOT_SEEN = re.compile(r"No such file or directory: '([^']+)'")


def engine_error(error: BaseException) -> DeploymentError | None:
    """Returns the project's error for a job that an engine ended, or None if it was not that."""
    text = str(error)
    if not _ENDED.search(text):
        return None
    if unseen := _NOT_SEEN.search(text):
        return DeploymentError(
            "Expected the engine's workers to see the same files at the same paths. Received: no "
            f"{unseen[1]} there. Put the data and the pipeline root (on Kubeflow: "
            "engine.shared_folder) into a folder that all workers mount."
        )
    causes = _CAUSE.findall(text)
    said = causes[-1] if causes else text.splitlines()[0]
    return DeploymentError(
        f"Expected the engine to run the job. Received: {shortened(said)} The logs of its workers "
        "say more. Run again when it is mended: finished stages are not repeated."
    )
