"""Says in a sentence why an engine ended a Beam job."""

from __future__ import annotations

import re

from components.support.errors import DeploymentError
from components.support.texts import shortened

# What Beam's portable runners raise; in this process, what a stage raises comes as it is.
_ENDED = re.compile(
    r"Pipeline \S+ failed in state \w+:?\s*|.*RPC that terminated with:?\s*"
    r"|Dataflow pipeline failed\. State:\s*"
)
# How gRPC says, without a word, that what listens there does not understand it.
_NO_JOB_SERVER = "FutureTimeoutError"
_CAUSE = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Artifact)\b: .+$", re.MULTILINE)
_REFUSED = re.compile(r"java\.net\.ConnectException")
_NOT_SEEN = re.compile(r"No such file or directory: '([^']+)'")


SHARED = "the data and the pipeline root (on Kubeflow: engine.shared_folder)"


def engine_error(
    error: BaseException, shared: str = SHARED, kept: str = "finished stages are not repeated"
) -> DeploymentError | None:
    """Returns the project's error for a job that an engine refused or ended, else None.

    Args:
        error: what Beam raised.
        shared: what all workers have to see.
        kept: what is not lost.
    """
    text = str(error)
    if type(error).__name__ == _NO_JOB_SERVER:
        return DeploymentError(
            "Expected Beam's job server at the address of the engine. Received: no answer that "
            "Beam understands. Check that job_server is its address, and not that of Flink, Spark "
            "or a worker pool (docs/scale.md)."
        )
    ended = _ENDED.search(text)
    if not ended:
        return None
    if unseen := _NOT_SEEN.search(text):
        return DeploymentError(
            "Expected the engine's workers to see the same files at the same paths. Received: no "
            f"{unseen[1]} there. Put {shared} into a folder that all workers mount."
        )
    if _REFUSED.search(text):
        return DeploymentError(
            "Expected Beam's worker pool where each machine of the engine looks for it "
            "(worker_pool in the options of engine). Received: a refused connection. Start one "
            "beside each TaskManager or executor; docs/scale.md has the command."
        )
    causes = _CAUSE.findall(text)
    said = causes[-1] if causes else (text[ended.end() :].splitlines() or [text])[0]
    return DeploymentError(
        f"Expected the engine to run the job. Received: {shortened(said).rstrip('.')}. The logs "
        f"of its workers say more. Run again when it is mended: {kept}."
    )
