"""Processes of which clusters for tests are made."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_SECONDS_TO_START = 120.0
_SECONDS_TO_END = 10.0
# Flink's own start scripts open most of these for Java 17, Spark's the others.
_OPENED = (
    "lang", "net", "io", "nio", "lang.reflect", "text", "time", "util", "util.concurrent",
    "util.concurrent.atomic", "util.concurrent.locks",
)  # fmt: skip
_OPENED_OF_SUN = ("nio.ch", "security.action", "util.calendar")
JAVA = (
    "java",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENED),
    *(f"--add-opens=java.base/sun.{package}=ALL-UNNAMED" for package in _OPENED_OF_SUN),
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "--add-exports=java.management/sun.management=ALL-UNNAMED",
)

WORKER_POOL = ("-W", "ignore", "-m", "apache_beam.runners.worker.worker_pool_main")
"""Arguments of Python that run Beam's worker pool; `--service_port` is missing."""


@contextlib.contextmanager
def process(
    folder: Path, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command that ends with the block, or with this process.

    Args:
        folder: has `logs`, which receives NAME.log, and `temporary`.
        name: of the process.
        command: what to run.
        environment: further variables.
    """
    # The worker pool starts whatever `python` is first in the path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    own = {"PATH": path, "PYTHONWARNINGS": "ignore", "TMPDIR": str(folder / "temporary")}
    with (folder / "logs" / f"{name}.log").open("wb") as log:
        running = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **own, **(environment or {})},
            preexec_fn=_die_with_parent,
        )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def free_ports(number: int) -> list[int]:
    """Returns ports of this machine that nobody uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_for(
    what: str, addresses: Sequence[str], is_ready: Callable[[], bool], folder: Path
) -> None:
    """Waits until a cluster answers.

    Args:
        what: its name.
        addresses: HOST:PORT where something listens then.
        is_ready: whether it can work; an OSError says no.
        folder: see `process`.

    Raises:
        RuntimeError: it takes too long.
    """
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            for address in addresses:
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), 1.0).close()
            if is_ready():
                return
        time.sleep(0.5)
    tails = "\n".join(
        f"{log.name}: {log.read_text(errors='replace')[-1000:]}"
        for log in sorted((folder / "logs").iterdir())
    )
    raise RuntimeError(f"Expected {what} after {_SECONDS_TO_START:g} s. Received:\n{tails}")


def show_until_interrupted(engine: Mapping[str, Any]) -> None:
    """Prints the options of `engine`, and returns at Ctrl-C."""
    print(f"engine: {json.dumps(engine)}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def _die_with_parent() -> None:
    """Ends this process when whoever started it does, by whatever signal."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
