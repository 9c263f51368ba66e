"""Runs `probe.py` in a fresh process, and says how the process ended if it gave no answer.

What a model does is told from what the machine does: a refusal is cached, and final, but a machine
that runs out of time or memory may have more of them the next time.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.contracts.files import SAVED_MODEL_FILE
from components.contracts.nodes import INFRA_VALIDATOR
from components.infra_validator.interface import Signature
from components.support.errors import CoversError, MachineError
from components.support.machine import machine_error
from components.support.texts import shortened

PROBE = Path(__file__).with_name("probe.py")

_logger = logging.getLogger(__name__)
_REPEATS, _TIMED_SECONDS = 30, 10.0
_LOGGED_LINES = 100
_INVALID_ARGUMENT, _RESOURCE_EXHAUSTED = 3, 8  # TF_Code
# What code does to its own process; every other signal comes from outside.
_CRASHES = (
    signal.SIGABRT,
    signal.SIGSEGV,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGBUS,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGPIPE,
)
# What TensorFlow prints after its message when it aborts.
_STACK_TRACE = re.compile(r"\s*(@ +0x|PC: @|\*\*\* )|\[.*RAW: ")


@dataclasses.dataclass(frozen=True)
class Examined:
    """What became of one process.

    Attributes:
        answer: what `probe.py` wrote; None if the process ended otherwise.
        end: how it ended instead, and what it was doing; empty if it answered.
    """

    answer: Mapping[str, Any] | None
    end: str = ""


def make_request(
    loader: str,
    model: Path,
    signatures: Mapping[str, Signature],
    requests: Sequence[Mapping[str, Any]],
    timed: str,
    again: Sequence[str],
) -> dict[str, Any]:
    """Returns the REQUEST of `probe.py`.

    Args:
        loader: `session` or `python`.
        model: the folder with the SavedModel.
        signatures: those of the model, with the names of their tensors.
        requests: what to ask.
        timed: name of the request whose latency is measured.
        again: names of the requests that the model is asked when it is loaded a second time.
    """
    return {
        "loader": loader,
        "library": str(_library()),
        "model": str(model),
        "signatures": {
            name: {
                "inputs": {key: tensor.name for key, tensor in signature.inputs.items()},
                "outputs": {key: tensor.name for key, tensor in signature.outputs.items()},
            }
            for name, signature in signatures.items()
        },
        "requests": list(requests),
        "timed": timed,
        "repeats": _REPEATS,
        "timed_seconds": _TIMED_SECONDS,
        "again": list(again),
    }


def examine(
    request: Mapping[str, Any], folder: Path, max_seconds: float | None, script: Path = PROBE
) -> Examined:
    """Starts a process, and returns what it found.

    Args:
        request: see `make_request`.
        folder: for the files of this process; made if needed.
        max_seconds: when to kill it; None waits for ever.
        script: what it runs.

    Raises:
        MachineError: it did not end in time, was killed from outside, or ran out of memory or
            files: that says nothing certain about the model.
    """
    loader = request["loader"]
    folder.mkdir(parents=True, exist_ok=True)
    asked, answer, said = (folder / name for name in ("request.json", "answer.json", "doing.txt"))
    asked.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-I", str(script), str(asked), str(answer)]
    with said.open("wb") as doing, (folder / "stderr.txt").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=doing, stderr=log, env=_environment()
        )
        try:
            code = process.wait(max_seconds)
        except subprocess.TimeoutExpired:
            raise MachineError(
                f"Expected the {loader} loader to answer everything within {max_seconds:g} s. "
                f"Received: no end, {_doing(said)}. Run again when the machine is less busy, or "
                "raise infra_validator.max_seconds: finished stages are kept. If neither helps, "
                "the model hangs."
            ) from None
        finally:
            process.kill()
            process.wait()
    if code == 0 and answer.is_file():
        found = json.loads(answer.read_text(encoding="utf-8"))
        for error in _errors(found):
            if _is_of_the_machine(error["error"], error["code"]):
                raise _machine_error(loader, f"the error: {shortened(error['error'])}")
        return Examined(found)
    words = _last_words(folder / "stderr.txt")
    end = f"{_end(code)}, {_doing(said)}" + (f" ({shortened(words)})" if words else "")
    if (code < 0 and -code not in _CRASHES) or _is_of_the_machine(words):
        raise _machine_error(loader, end)
    return Examined(None, end)


def _machine_error(loader: str, received: str) -> MachineError:
    return MachineError(
        f"Expected the machine to let the {loader} loader answer everything. Received: {received}. "
        f"Give it more memory, disk or files (on a cluster, kubeflow.tasks.{INFRA_VALIDATOR}), or "
        "choose a smaller network, and run again: finished stages are kept."
    )


def _errors(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields what the model, or TensorFlow, said instead of an answer."""
    asked = (answer.get(key, {}).values() for key in ("answers", "again"))
    for each in (answer, *itertools.chain(*asked)):
        if "error" in each:
            yield each


def _is_of_the_machine(text: str, code: int | None = None) -> bool:
    if code == _INVALID_ARGUMENT:
        return False
    if code == _RESOURCE_EXHAUSTED or text.startswith(MemoryError.__name__):
        return True
    return machine_error(RuntimeError(text)) is not None


def _environment() -> dict[str, str]:
    # The process of the run keeps the memory of its GPUs to itself.
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}


def _library() -> Path:
    """Finds TensorFlow's C API without importing TensorFlow."""
    spec = importlib.util.find_spec("tensorflow")
    folders = (spec and spec.submodule_search_locations) or []
    found = [file for folder in folders for file in Path(folder).glob("libtensorflow_cc.so*")]
    if not found:
        raise CoversError(
            "Expected the package tensorflow to hold libtensorflow_cc. Received: none. Install "
            f"the locked packages again; without it no {SAVED_MODEL_FILE} can be loaded as "
            "TensorFlow Serving does."
        )
    return found[0]


def _end(code: int) -> str:
    if code >= 0:
        return f"exit code {code} without an answer"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    out_of_memory = ", as systems do when memory runs out" if code == -signal.SIGKILL else ""
    return f"a process killed by {name}{out_of_memory}"


def _doing(said: Path) -> str:
    *_, last = ["starting", *said.read_text(encoding="utf-8", errors="replace").splitlines()]
    return f"while {last}"


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    _logger.info("The last lines of the process:\n%s", "\n".join(lines[-_LOGGED_LINES:]))
    words = [line for line in lines if not _STACK_TRACE.match(line)]
    return words[-1].strip() if words else ""
