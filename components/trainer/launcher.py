"""Starts the workers of a training run on this machine, and again if one of them dies."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from components.contracts.nodes import TRAINER
from components.support import progress
from components.support.errors import CoversError, MachineError
from components.trainer.handover import WorkerTask, WorkResult, read_error
from components.trainer.worker import LOST_THE_OTHERS

_COMMAND = (sys.executable, "-m", "components.trainer.worker")
_ADDRESS = "127.0.0.1"
_RESTARTS = 3
_LOOKED_AT_EVERY = 0.2
_OTHERS_END_WITHIN = 5.0
_CODE = Path(__file__).parents[2]

_logger = logging.getLogger("covers")


def train_with_workers(task: WorkerTask, workers: int) -> WorkResult:
    """Trains in several processes of this machine.

    If one is killed, all are started again and resume from the last checkpoint, three times.

    Args:
        task: what they do.
        workers: how many.

    Raises:
        CoversError: what one of them was refused with.
        MachineError: workers were killed, again and again, or ended unexpectedly.
    """
    with tempfile.TemporaryDirectory(prefix="covers-workers-") as scratch:
        folder = Path(scratch)
        task.write(folder)
        for restarts in range(_RESTARTS + 1):
            codes = _run(folder, workers)
            if not any(codes):
                return WorkResult.read(folder)
            worker, code = _first_to_fail(codes)
            for each in range(workers):
                if error := read_error(folder, each):
                    raise error
            end = f"worker {worker} of {workers} {_end(code)}"
            if code > 0 and code != LOST_THE_OTHERS:
                raise CoversError(
                    f"Expected {workers} workers to train. Received: {end}. The log has its "
                    "traceback; trainer.workers=1 trains in one process."
                )
            if restarts < _RESTARTS:
                progress.warn(
                    TRAINER,
                    f"{end[0].upper()}{end[1:]}; all are started again, and training goes on from "
                    "the last checkpoint.",
                )
    raise MachineError(
        f"Expected {workers} workers to train to the end. Received: {end}, after {_RESTARTS} "
        "restarts. Give the machine more memory or take fewer (trainer.workers), and run again: "
        "training goes on from the last checkpoint."
    )


def _run(folder: Path, workers: int) -> list[int]:
    """Runs all workers until they have ended; returns their exit codes, negative for signals."""
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(each) for each in _start(folder, workers)]
        relay = threading.Thread(target=_relay, args=(processes[0].stdout,), daemon=True)
        relay.start()
        try:
            while all(process.poll() is None for process in processes):
                time.sleep(_LOOKED_AT_EVERY)
            _wait(processes)
        finally:
            killed = [process for process in processes if process.poll() is None]
            for process in killed:
                process.kill()
            for process in processes:
                process.wait()
        relay.join()
        # A worker that had to be killed only waited for one that had failed.
        return [LOST_THE_OTHERS if each in killed else each.returncode for each in processes]


def _wait(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Waits for the others when the first worker has ended; briefly, if it has failed."""
    deadline = time.monotonic() + _OTHERS_END_WITHIN
    while any(process.poll() is None for process in processes):
        if any(process.poll() for process in processes) and time.monotonic() > deadline:
            return
        time.sleep(_LOOKED_AT_EVERY)


def _start(folder: Path, workers: int) -> Iterator[subprocess.Popen[str]]:
    addresses = _free_addresses(workers)
    threads = max(1, (os.cpu_count() or 1) // workers)
    command = [*_COMMAND, str(folder), str(threads)]
    for index in range(workers):
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if index == 0 else subprocess.DEVNULL,
            env=_environment(addresses, index),
            text=True,
            start_new_session=True,  # Ctrl-C is for whoever started it, which ends it
        )
        _logger.info("Worker %d of %d is process %d.", index, workers, process.pid)
        yield process


def _environment(addresses: Sequence[str], index: int) -> dict[str, str]:
    path = [str(_CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "TF_CONFIG": json.dumps(
            {
                "cluster": {"worker": list(addresses)},
                "task": {"type": "worker", "index": index},
            }
        ),
        "no_grpc_proxy": _ADDRESS,
    }


def _free_addresses(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_ADDRESS, 0))
        return [f"{_ADDRESS}:{each.getsockname()[1]}" for each in sockets]


def _relay(reports: IO[str]) -> None:
    for line in reports:
        with contextlib.suppress(ValueError):  # cut off by a kill
            report = json.loads(line)
            (progress.report if len(report) > 2 else progress.warn)(*report)


def _first_to_fail(codes: Sequence[int]) -> tuple[int, int]:
    """Returns the worker whose end explains those of the others, and its exit code."""
    failed = [(worker, code) for worker, code in enumerate(codes) if code]
    own = [each for each in failed if each[1] != LOST_THE_OTHERS]
    return min(own or failed, key=lambda each: each[1])


def _end(code: int) -> str:
    if code == LOST_THE_OTHERS:
        return "lost the connection to the others"
    if code > 0:
        return f"ended with exit code {code}"
    out_of_memory = ", as systems do when memory runs out" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{out_of_memory}"
