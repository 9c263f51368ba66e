"""Workers on other machines: how they learn of a training, and how it learns that one has ended.

They meet in a folder that all machines see under one path. For each attempt the run writes
`call.json` there; on each machine, `attend` starts the worker for it, and leaves
`begun-<attempt>-<worker>.json` before and `ended-<attempt>-<worker>.json` after. Without a call,
nobody works.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.support.errors import ConfigError
from components.support.file_systems import is_url
from components.trainer.handover import WorkerTask, write_error

if TYPE_CHECKING:
    from components.trainer.launcher import Worker

_MEETING_FOLDER = "workers"
_CALL_FILE = "call.json"
_OWN_FILE = re.compile(
    r"(task|result|diagnosis|error-\d+|(begun|ended)-[0-9a-f]{32}-\d+)\.json"
    r"|(weights|features)\.npz|(call|(begun|ended)-[0-9a-f]{32}-\d+)\.partial"
)
_LOOKED_AT_EVERY = 0.2


def meeting_folder(checkpoint_root: str) -> Path:
    """Returns where the workers of several machines meet.

    Raises:
        ConfigError: checkpoints are not kept in a folder.
    """
    if not checkpoint_root or is_url(checkpoint_root):
        raise ConfigError(
            "Expected trainer.checkpoint_folder to be a folder that the machines of all "
            f"trainer.worker_addresses see. Received: {checkpoint_root or 'none'}."
        )
    return Path(checkpoint_root, _MEETING_FOLDER)


@contextlib.contextmanager
def meeting(folder: Path) -> Iterator[Path]:
    """Makes the folder for the time of a training, without what an earlier one left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    try:
        yield folder
    finally:
        _clear(folder)


def call(folder: Path, addresses: Sequence[str]) -> list[Elsewhere]:
    """Calls the workers for an attempt, and returns those on other machines."""
    attempt = uuid.uuid4().hex
    _write(folder / _CALL_FILE, {"attempt": attempt, "addresses": list(addresses)})
    return [Elsewhere(folder, attempt, index) for index in range(1, len(addresses))]


def attend(
    folder: Path,
    index: int,
    code_fingerprint: str,
    start: Callable[[Path, Sequence[str], int], contextlib.AbstractContextManager[Worker]],
    tell: Callable[[str], None],
) -> None:
    """Works whenever it is called, for ever.

    Args:
        folder: where the workers meet.
        index: which of them this is, from 1; 0 is on the machine of the run.
        code_fingerprint: hash of the training code on this machine.
        start: starts a worker, given the folder, all addresses and the index.
        tell: is told what begins and how it ended.
    """
    done = ""
    tell(f"Waiting for a training in {folder}.")
    while True:
        called = _read_call(folder)
        if called is None or called["attempt"] == done:
            time.sleep(_LOOKED_AT_EVERY)
            continue
        done = called["attempt"]
        code_of_the_run = _code_of_the_run(folder)
        if code_of_the_run is None:
            continue
        if not 0 < index < len(called["addresses"]):
            tell(_unknown(index, called["addresses"]))
        elif code_of_the_run != code_fingerprint:
            write_error(folder, index, _other_code(index))
            _leave(folder, _ended(done, index), {"code": ConfigError.exit_code})
        else:
            _leave(folder, _begun(done, index), {})
            tell(f"Worker {index} of {len(called['addresses'])} begins.")
            with start(folder, called["addresses"], index) as worker:
                code = _until_it_ends(folder, done, worker)
            if code is not None:
                _leave(folder, _ended(done, index), {"code": code})
            tell(f"Worker {index} has ended" + (f" with exit code {code}." if code else "."))


@dataclasses.dataclass
class Elsewhere:
    """A worker on another machine.

    Attributes:
        folder: where the workers meet.
        attempt: what it is called for.
        index: which of them it is.
    """

    folder: Path
    attempt: str
    index: int

    def has_come(self) -> bool:
        """Returns whether it has begun, or has at least answered."""
        names = (_begun(self.attempt, self.index), _ended(self.attempt, self.index))
        return any((self.folder / name).is_file() for name in names)

    def poll(self) -> int | None:
        """Returns its exit code; None while it works, or has not come."""
        file = self.folder / _ended(self.attempt, self.index)
        if not file.is_file():
            return None
        return int(json.loads(file.read_text(encoding="utf-8"))["code"])

    def kill(self) -> None:
        """Ends the attempt on all machines."""
        (self.folder / _CALL_FILE).unlink(missing_ok=True)


def _until_it_ends(folder: Path, attempt: str, worker: Worker) -> int | None:
    """Returns the exit code, or None if the worker was not needed any more."""
    while True:
        code = worker.poll()
        if code is not None:
            return code
        called = _read_call(folder)
        if called is None or called["attempt"] != attempt:
            worker.kill()
            return None
        time.sleep(_LOOKED_AT_EVERY)


def _read_call(folder: Path) -> dict[str, Any] | None:
    try:
        called: dict[str, Any] = json.loads((folder / _CALL_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return called


def _code_of_the_run(folder: Path) -> str | None:
    """Returns the hash of its training code, or None if the training is over already."""
    try:
        return WorkerTask.read(folder).code_fingerprint
    except FileNotFoundError:
        return None
    except TypeError:  # a version in which the task has other fields
        return ""


def _leave(folder: Path, name: str, fields: dict[str, Any]) -> None:
    with contextlib.suppress(FileNotFoundError):  # the training is over, and its folder away
        _write(folder / name, fields)


def _begun(attempt: str, index: int) -> str:
    return f"begun-{attempt}-{index}.json"


def _ended(attempt: str, index: int) -> str:
    return f"ended-{attempt}-{index}.json"


def _write(file: Path, fields: dict[str, Any]) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(fields), encoding="utf-8")
    partial.replace(file)


def _clear(folder: Path) -> None:
    """Removes what a training leaves; the folder may hold files that are none of ours."""
    (folder / _CALL_FILE).unlink(missing_ok=True)  # first, so that nobody starts any more
    for file in folder.iterdir():
        if _OWN_FILE.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _unknown(index: int, addresses: Sequence[str]) -> str:
    return (
        f"Expected a training with a worker {index}. Received: one with worker_addresses "
        f"{', '.join(addresses)}, which goes on without this machine."
    )


def _other_code(index: int) -> ConfigError:
    return ConfigError(
        f"Expected worker {index} to have the training code of the run. Received: another "
        "version. Install the same version of covers on its machine."
    )
