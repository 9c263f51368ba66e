"""The parts of a batch prediction: files in a folder beside its output, which all workers see.

What is asked of a part is written first. A worker writes its answers under a name of their own; who
waits for them looks at them, and then gives them the name of a part that is done. Every file gets
its name when it is whole. A part says which covers and which model it answers for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from components.contracts.quarantine import Reason, RowRejected
from components.contracts.signatures import ModelDescription
from components.support.durable import sync_folder
from components.support.errors import ConfigError, CoversError, DeploymentError, MachineError
from components.support.file_systems import is_url
from pipeline.commands.batch_prediction.covers import CoverFile

Answer = dict[str, Any]

_DONE = ".jsonl"
_ASKED = ".asked"
_ANSWERED = ".answered"
_PARTIAL = ".partial"
_FORMAT = 2
_ANY_NAME = ("utf-8", "surrogateescape")
_FAILURES = {each.__name__: each for each in (ConfigError, DeploymentError, MachineError)}
# What is wrong with a file that one machine sees and another does not.
_NOT_SEEN = {Reason.MISSING_FILE.value, Reason.UNREADABLE_FILE.value}


def make_header(description: ModelDescription, names: Sequence[str]) -> str:
    """Returns the first line of a part: what tells that it answers for these covers."""
    digest = hashlib.sha256("\0".join(names).encode(*_ANY_NAME))
    model = json.dumps(dataclasses.asdict(description), sort_keys=True)
    return json.dumps(
        {
            "format": _FORMAT,
            "model": hashlib.sha256(model.encode()).hexdigest(),
            "covers": len(names),
            "names": digest.hexdigest(),
        }
    )


@dataclasses.dataclass(frozen=True)
class Part:
    """A part by its number; the folder is there."""

    folder: Path
    number: int

    def ask(self, header: str, covers: Sequence[CoverFile]) -> None:
        """Writes what is asked: the header, and the covers by paths that hold in any folder."""
        self._write(_ASKED, header, map(_to_json, covers))

    def asked(self) -> tuple[str, list[CoverFile]]:
        """Returns the header, and the covers to ask about.

        Raises:
            FileNotFoundError: this machine does not see them.
        """
        with self._file(_ASKED).open(encoding="utf-8") as file:
            return file.readline().rstrip("\n"), [_from_json(json.loads(line)) for line in file]

    def answer(self, header: str, answers: Iterable[Answer]) -> None:
        """Writes the answers for what was asked with a header, in that order."""
        self._write(_ANSWERED, header, answers)

    def is_answered(self, header: str) -> bool:
        """Tells whether there are answers for what the header says that nobody has looked at."""
        return _header_of(self._file(_ANSWERED)) == header

    def is_done(self, header: str) -> bool:
        """Tells whether the part is done, for what the header says."""
        return _header_of(self._file(_DONE)) == header

    def accept(self, *, elsewhere: bool) -> int:
        """Makes answers the part that is done, and returns how many there are.

        Args:
            elsewhere: whether another machine may have given them.

        Raises:
            FileNotFoundError: there are no answers.
            CoversError: they say what failed, or that the other machine does not see a file.
        """
        answered = self._file(_ANSWERED)
        try:
            reasons = [_reason(answer) for answer in _lines(answered)]
            if elsewhere and not _NOT_SEEN.isdisjoint(reasons):
                _, covers = self.asked()
                for cover, reason in zip(covers, reasons, strict=True):
                    if reason in _NOT_SEEN:
                        _check_unreadable(cover)
        except CoversError:
            answered.unlink()
            raise
        answered.replace(self._file(_DONE))
        sync_folder(self.folder)
        return len(reasons)

    def withdraw(self) -> None:
        """Deletes what was asked, when no worker will look at it any longer."""
        self._file(_ASKED).unlink(missing_ok=True)

    def answers(self) -> Iterator[Answer]:
        """Yields the answers of a part that is done."""
        return _lines(self._file(_DONE))

    def remove(self) -> None:
        """Deletes the part that is done."""
        self._file(_DONE).unlink()

    @staticmethod
    def done_in(folder: Path) -> set[int]:
        """Returns the numbers of the parts that are done."""
        return _numbers(folder, _DONE)

    @staticmethod
    def answered_in(folder: Path) -> set[int]:
        """Returns the numbers of the parts with answers that nobody has looked at."""
        return _numbers(folder, _ANSWERED)

    def _file(self, ending: str) -> Path:
        return self.folder / f"{self.number:07d}{ending}"

    def _write(self, ending: str, header: str, lines: Iterable[Any]) -> None:
        partial = self.folder / f"{uuid.uuid4().hex}{_PARTIAL}"
        with partial.open("w", encoding="utf-8") as file:
            file.write(header + "\n")
            file.writelines(json.dumps(line) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._file(ending))


def _numbers(folder: Path, ending: str) -> set[int]:
    # Beside the parts there may be an output, as a killed run left it.
    return {int(file.stem) for file in folder.glob(f"[0-9]*{ending}") if file.stem.isdigit()}


def _reason(answer: Answer) -> str:
    """Returns why there is no answer, or nothing; raises what failed."""
    if "failure" in answer:
        raise _FAILURES[answer["failure"]](
            f"{answer['error']} What is done is kept: run the same command again."
        )
    return str(answer.get("reason", ""))


def _check_unreadable(cover: CoverFile) -> None:
    """Raises if a file that a worker could not read can be read here.

    Raises:
        DeploymentError: names it.
    """
    if cover.problem or is_url(cover.folder):
        return
    try:
        cover.content()
    except RowRejected:
        return
    raise DeploymentError(
        "Expected the engine's workers to see the same covers at the same paths. Received: no "
        f"{Path(cover.folder, cover.path)} that one of them can read. Put the covers "
        "into a folder that all workers mount, or use --set engine.name=local. What is done is "
        "kept: run the same command again."
    )


def _to_json(cover: CoverFile) -> list[str]:
    folder, path = cover.folder, cover.path
    if folder and not is_url(folder):
        folder = str(Path(folder).absolute())
    elif path and not folder:
        path = str(Path(path).absolute())
    return [cover.name, folder, path, cover.problem, cover.reason.value]


def _from_json(values: Sequence[str]) -> CoverFile:
    name, folder, path, problem, reason = values
    return CoverFile(name, folder, path, problem, Reason(reason))


def _header_of(file: Path) -> str | None:
    try:
        with file.open(encoding="utf-8") as lines:
            return lines.readline().rstrip("\n")
    except (OSError, UnicodeError):
        return None


def _lines(file: Path) -> Iterator[Answer]:
    with file.open(encoding="utf-8") as lines:
        next(lines)
        yield from map(json.loads, lines)
