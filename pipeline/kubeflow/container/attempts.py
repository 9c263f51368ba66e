"""What one attempt at a task leaves for the next: that trying again is useless, and why.

The back end retries whatever fails (its RetryPolicy knows no reasons), and runs all attempts with
one and the same ExecutorInput. So an attempt that was refused, or configured wrongly, leaves its
last words in the object store, and the next attempt ends with them at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from components.support.errors import ConfigError, CoversError, DataError, ModelNotBlessed
from components.support.file_systems import is_url, open_file_system, store_errors

RETRY_INDEX = "KFP_RETRY_INDEX"
"""Set by the launcher of 2.17 and later: the number of earlier attempts."""

_FINAL: dict[str, type[CoversError]] = {
    error.__name__: error for error in (ConfigError, DataError, ModelNotBlessed)
}
_REACHED_BY_TASKS = ("s3://", "gs://")
_SCHEME_AND_BUCKET = 3
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_logger = logging.getLogger("covers")


def task_folder(executor_input: Mapping[str, Any]) -> str:
    """Returns the URI below which the outputs of a task are; empty if it has none."""
    for listed in executor_input.get("outputs", {}).get("artifacts", {}).values():
        for artifact in listed.get("artifacts", ()):
            return str(artifact["uri"]).rpartition("/")[0]
    return ""


def state_folder(configured: str, task: str) -> str:
    """Returns the folder that outlives attempts and runs, or an empty text if there is none.

    Args:
        configured: `kubeflow.state`, or an empty text.
        task: what `task_folder` returned: `ROOT/PIPELINE/RUN/TASK`, in most versions of the back
            end with the task's own id below it.
    """
    if configured:
        return configured
    if not task.startswith(_REACHED_BY_TASKS):
        return ""
    parts = task.split("/")
    for behind_run in (1, 2):  # the task, and its id; the root may hold names like a run's
        before, names = parts[: -behind_run - 1], parts[-behind_run - 1 :]
        if len(before) > _SCHEME_AND_BUCKET and _RUN_ID.fullmatch(names[0]):
            return "/".join(before)
    return task


@dataclasses.dataclass(frozen=True)
class Attempts:
    """The attempts at one task.

    Attributes:
        file: where a final error is kept; empty if it cannot be.
        seconds: how long after the first attempt the back end starts others.
    """

    file: str
    seconds: float

    @classmethod
    def at(cls, configured: str, task: str, seconds: float) -> Attempts:
        """Returns those of a task; see `state_folder`."""
        state = state_folder(configured, task) if task else ""
        name = hashlib.sha256(task.encode()).hexdigest()[:32]
        return cls(f"{state}/attempts/{name}.json" if state else "", seconds)

    def refuse_another(self) -> None:
        """Raises the final error of an earlier attempt, if there was one.

        A run that a person retries begins with its first attempt again.
        """
        if not self.file or not self.seconds or os.environ.get(RETRY_INDEX) == "0":
            return
        try:
            file_system, path = open_file_system(self.file)
            with store_errors(self.file):
                if not file_system.exists(path):
                    return
                kept = json.loads(file_system.cat_file(path))
            error, message, age = _FINAL[kept["error"]], kept["message"], time.time() - kept["time"]
        except (CoversError, ValueError, KeyError, TypeError) as error_of_store:
            _logger.warning("Whether an earlier attempt was final is unknown: %s", error_of_store)
            return
        if age <= self.seconds:
            raise error(f"{message} (An earlier attempt ended so; another would, too.)")

    def remember(self, error: CoversError, message: str) -> None:
        """Keeps an error for the next attempt if it is final."""
        name = type(error).__name__
        if not self.file or not self.seconds or name not in _FINAL:
            return
        kept = json.dumps({"error": name, "message": message, "time": time.time()})
        try:
            file_system, path = open_file_system(self.file)
            with store_errors(self.file):
                if not is_url(self.file):  # a volume has folders
                    file_system.makedirs(path.rpartition("/")[0], exist_ok=True)
                file_system.pipe_file(path, kept.encode())
        except CoversError as error_of_store:
            _logger.warning("The next attempt will not know of this one: %s", error_of_store)
