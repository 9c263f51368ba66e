"""A pipeline that is real and runs in seconds, in processes that can be killed."""

from __future__ import annotations

import json
import os
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
infra_validator: {{loaders: [session]}}
"""

STAGES = (
    "LabelSchemaGen",
    "CoverExampleGen",
    "StatisticsGen",
    "ExampleValidator",
    "DataGate",
    "Trainer",
    "BaselineModel",
    "BatchInference",
    "Evaluator",
    "InfraValidator",
    "Pusher",
    "ReportGen",
)


class Runs:
    """Starts `covers` in processes of their own; see `fork_server`."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).with_name("fork_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=PROJECT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(PROJECT)},
            text=True,
        )
        self._read()

    def start(self, arguments: list[str], output: Path, **environment: str) -> int:
        """Returns the id of a new process, which appends what it prints to a file."""
        request = {"start": arguments, "output": str(output), "environment": environment}
        return int(self._ask(request)["pid"])

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


class TinyPipeline:
    """A pipeline root with covers and a configuration.

    Args:
        runs: where to start processes.
        folder: an existing folder.
        covers: the data.
    """

    def __init__(self, runs: Runs, folder: Path, covers: Path) -> None:
        self._runs = runs
        self._covers = covers
        self._number = 0
        self.seconds: dict[str, float] = {}
        self.config = folder / "tiny.yaml"
        self.config.write_text(CONFIG.format(schema=PROJECT / "schema" / "schema.pbtxt"))
        self.root = folder / "root"
        self.folder = self.root / "tiny"
        self.serving = self.folder / "serving"

    def start(self, *arguments: str, **environment: str) -> tuple[int, Path]:
        """Starts a run: the id of its process, and the file with what a person sees."""
        self._number += 1
        output = self.config.with_name(f"output-{self._number}")
        command = ["run", "--config", str(self.config), "--data", str(self._covers)]
        command += [*self._place(), *arguments]
        return self._runs.start(command, output, **environment), output

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Runs the pipeline: the exit code, and what a person saw."""
        return self.finish(*self.start(*arguments, **environment))

    def finish(self, pid: int, output: Path) -> tuple[int, str]:
        """Waits for a process that `start` returned."""
        code = self._runs.wait(pid)
        seen = output.read_text()
        assert "Traceback" not in seen
        return code, seen

    def command(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Runs another command of `covers` on the pipeline root."""
        self._number += 1
        output = self.config.with_name(f"output-{self._number}")
        pid = self._runs.start([*arguments, *self._place()], output, **environment)
        return self.finish(pid, output)

    def past(self) -> list[dict[str, Any]]:
        """Returns what `covers runs` lists, newest first."""
        code, seen = self.command("runs", "--json")
        assert code == 0
        past: list[dict[str, Any]] = json.loads(seen)
        return past

    def report(self) -> Path:
        """Returns the page of the newest run that has one."""
        code, seen = self.command("report")
        assert code == 0, seen
        return Path(seen.strip())

    def versions(self) -> list[int]:
        """Returns the numbers of the pushed versions, oldest first."""
        return sorted(int(path.name) for path in self.serving.glob("[0-9]*"))

    def log(self) -> str:
        """Returns the log of the newest run."""
        logs = self.logs()
        return logs[-1].read_text() if logs else ""

    def logs(self) -> list[Path]:
        """Returns the logs of all runs, oldest first."""
        return sorted((self.folder / "logs").glob("*.log"))

    def _place(self) -> list[str]:
        return ["--pipeline-root", str(self.root)]
