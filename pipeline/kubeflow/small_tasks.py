"""The tasks that the compiler adds to the graph; they need no TensorFlow."""

from __future__ import annotations

FINGERPRINT_TASK = "DataFingerprint"
BASELINE_VERSION_TASK = "BaselineVersion"
STOP_SUFFIX = "Stop"


def is_small(task: str) -> bool:
    """Returns whether a task is one of these, by its name."""
    return task in (FINGERPRINT_TASK, BASELINE_VERSION_TASK) or task.endswith(STOP_SUFFIX)
