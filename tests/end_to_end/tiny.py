"""A pipeline that is real and runs in seconds, in processes that can be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
CONFIG = """
name: tiny
schema: {schema}
trainer:
  image_size: 48
  epochs: 2
  early_stopping: null
  layers:
    - Rescaling: {{scale: 0.00784313725490196, offset: -1.0}}
    - Conv2D: {{filters: 8, kernel_size: 3, strides: 2}}
    - ReLU
    - GlobalAveragePooling2D
evaluation:
  gate:
    min_support: 1
    overall: {{macro_roc_auc: {{at_least: 0.0, tolerance: 1.0}}}}
    per_genre: {{roc_auc: {{at_least: 0.0, tolerance: 1.0}}}}
"""


class Runs:
    """Starts `covers` in processes of their own; see `fork_server`."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).with_name("fork_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=PROJECT,
            env={**_environment(), "PYTHONPATH": str(PROJECT)},
            text=True,
        )
        self._read()

    def start(self, arguments: list[str], output: Path) -> int:
        """Returns the id of a new process, which appends what it prints to a file."""
        return int(self._ask({"start": arguments, "output": str(output)})["pid"])

    def wait(self, pid: int) -> int:
        """Returns the exit code of a process, or minus the signal that killed it."""
        return int(self._ask({"wait": pid})["code"])

    def close(self) -> None:
        """Ends the server."""
        self._server.communicate()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
