"""Starts the workers of a training run, and again if one of them dies."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from components.contracts.nodes import TRAINER
from components.support import progress
from components.support.errors import CoversError, MachineError
from components.trainer import attendance
from components.trainer.handover import WorkerTask, WorkResult, read_error
from components.trainer.worker import LOST_THE_OTHERS

_COMMAND = (sys.executable, "-m", "components.trainer.worker")
_ADDRESS = "127.0.0.1"
_RESTARTS = 3
_LOOKED_AT_EVERY = 0.2
_OTHERS_END_WITHIN = 5.0
_OTHERS_COME_WITHIN = 30.0
_CODE = Path(__file__).parents[2]

_logger = logging.getLogger("covers")


class Worker(Protocol):
    """A worker, wherever it is."""

    def poll(self) -> int | None:
        """Returns its exit code, negative for a signal; None while it works."""

    def kill(self) -> None:
        """Ends it at once."""


def train_with_workers(
    task: WorkerTask, workers: int, addresses: Sequence[str] = (), meeting: Path | None = None
) -> WorkResult:
    """Trains in several processes of this machine, or of several machines.

    If one is killed, all are started again and resume from the last checkpoint, three times.

    Args:
        task: what they do.
        workers: how many.
        addresses: `HOST:PORT` of each, the first on this machine; none starts all of them here.
        meeting: with addresses, a folder that all machines see; see `attendance`.

    Raises:
        CoversError: what one of them was refused with.
        MachineError: workers were killed, again and again, or ended unexpectedly.
    """
    with contextlib.ExitStack() as stack:
        if meeting is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="covers-workers-"))
            folder = Path(scratch)
        else:
            folder = stack.enter_context(attendance.meeting(meeting))
        task.write(folder)
        for restarts in range(_RESTARTS + 1):
            codes = _run(folder, workers, addresses)
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


def start_worker(
    folder: Path, addresses: Sequence[str], index: int, threads: int
) -> subprocess.Popen[str]:
    """Starts a worker on this machine; it ends when its standard input is closed.

    Args:
        folder: holds the task.
        addresses: of all workers.
        index: which of them it is; the first reports on its standard output.
        threads: see `worker.main`.
    """
    process = subprocess.Popen(
        [*_COMMAND, str(folder), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if index == 0 else subprocess.DEVNULL,
        env=_environment(addresses, index),
        text=True,
        start_new_session=True,  # Ctrl-C is for whoever started it, which ends it
    )
    _logger.info("Worker %d of %d is process %d.", index, len(addresses), process.pid)
    return process


def _run(folder: Path, workers: int, addresses: Sequence[str]) -> list[int]:
    """Runs all workers until they have ended; returns their exit codes, negative for signals."""
    with contextlib.ExitStack() as stack:
        if addresses:
            others = attendance.call(folder, addresses)
            here = [stack.enter_context(start_worker(folder, addresses, 0, threads=0))]
        else:
            addresses, others = _free_addresses(workers), []
            threads = max(1, (os.cpu_count() or 1) // workers)
            here = [
                stack.enter_context(start_worker(folder, addresses, index, threads))
                for index in range(workers)
            ]
        relay = threading.Thread(target=_relay, args=(here[0].stdout,), daemon=True)
        relay.start()
        team: list[Worker] = [*here, *others]
        tell_at = time.monotonic() + _OTHERS_COME_WITHIN
        try:
            while all(worker.poll() is None for worker in team):
                if time.monotonic() > tell_at:
                    tell_at = math.inf
                    _tell_who_is_missing(others, addresses)
                time.sleep(_LOOKED_AT_EVERY)
            _wait(team)
        finally:
            left = [worker for worker in team if worker.poll() is None]
            for worker in left:
                worker.kill()
            for process in here:
                process.wait()
        relay.join()
        # Those that were left only waited for one that had failed.
        return [LOST_THE_OTHERS if each in left else each.poll() or 0 for each in team]


def _tell_who_is_missing(others: Sequence[attendance.Elsewhere], addresses: Sequence[str]) -> None:
    for worker in others:
        if not worker.has_come():
            progress.warn(
                TRAINER,
                f"Worker {worker.index} of {len(addresses)} has not come. Start it on the machine "
                f"of {addresses[worker.index]}: covers train-worker --index {worker.index}, with "
                "this configuration. The others wait for it.",
            )


def _wait(team: Sequence[Worker]) -> None:
    """Waits for the others when the first worker has ended; briefly, if it has failed."""
    deadline = time.monotonic() + _OTHERS_END_WITHIN
    while any(worker.poll() is None for worker in team):
        if any(worker.poll() for worker in team) and time.monotonic() > deadline:
            return
        time.sleep(_LOOKED_AT_EVERY)


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
        "no_grpc_proxy": ",".join({address.rpartition(":")[0] for address in addresses}),
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
