"""How often a task is tried again, how long a run may take, and how long its workflow is kept.

Task fields are those of PipelineTaskSpec.RetryPolicy, run fields those of PlatformSpec's
PipelineConfig (kubeflow/pipelines, pipeline_spec.proto).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pipeline.kubeflow.pods import KubernetesOptions
from pipeline.kubeflow.quantities import Duration, seconds


class Retries(KubernetesOptions):
    """When a task is tried again. A refusal and a wrong configuration end it at once.

    Attributes:
        max: most further attempts.
        wait: time before the first of them.
        factor: how many times longer each further one waits.
        give_up_after: no attempt starts later than this after the first.
    """

    max: int = Field(ge=1, le=10)
    wait: Duration = "60s"
    factor: int = Field(default=2, ge=1)
    give_up_after: Duration = "6h"


class KeepWorkflow(KubernetesOptions):
    """How long the workflow of a finished run, with its pods and logs, stays on the cluster.

    Attributes:
        finished: of any run.
        succeeded: of one that succeeded, instead.
        failed: of one that failed, instead.
    """

    finished: Duration | None = None
    succeeded: Duration | None = None
    failed: Duration | None = None


def retry_policy(retries: Retries) -> dict[str, Any]:
    """Returns a task's `retryPolicy`. The compiler of the back end takes a missing field for 0."""
    return {
        "maxRetryCount": retries.max,
        "backoffDuration": f"{seconds(retries.wait)}s",
        "backoffFactor": retries.factor,
        "backoffMaxDuration": f"{seconds(retries.give_up_after)}s",
    }


def pipeline_config(deadline: Duration | None, keep: KeepWorkflow | None) -> dict[str, int]:
    """Returns the PlatformSpec's `pipelineConfig`; empty if nothing is set."""
    keep = keep or KeepWorkflow()
    durations = {
        "activeDeadlineSeconds": deadline,
        "resourceTtlOnCompletion": keep.finished,
        "resourceTtlOnSuccess": keep.succeeded,
        "resourceTtlOnFailure": keep.failed,
    }
    return {key: seconds(value) for key, value in durations.items() if value}
