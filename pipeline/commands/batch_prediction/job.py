"""Answers for covers without number, in parts: each is done once, however often the job is killed.

Beside the output there is a folder for the parts that are done. A part says which covers and which
model it answers for; one that says otherwise is done again. In the end the parts become the output,
in one step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from components.contracts.saved_models import check_files
from components.contracts.signatures import ModelDescription, read_model_description
from components.support import progress
from components.support.compat import LOCAL_BEAM_ARGS
from components.support.durable import sync_folder
from components.support.errors import ConfigError, CoversError, DeploymentError, MachineError
from components.support.machine import machine_error
from components.support.texts import first_few
from pipeline.commands.batch_prediction.covers import CoverFile, list_covers, no_covers
from pipeline.commands.batch_prediction.tables import check_suffix, write_table
from pipeline.runner.console import RunConsole

COVERS_IN_A_PART = 1024

_SCRATCH = "images"
_LOCK = "lock"
_PART = ".jsonl"
_FORMAT = 1
_ANY_NAME = ("utf-8", "surrogateescape")
_FAILURES = {each.__name__: each for each in (ConfigError, DeploymentError, MachineError)}


@dataclasses.dataclass(frozen=True)
class Account:
    """What became of the covers.

    Attributes:
        covers: how many were given.
        taken: those of parts that an earlier, killed run had done.
        unreadable: reason -> covers that have no answer.
        passed_over: kind -> files in the folders given that are no covers.
    """

    covers: int
    taken: int
    unreadable: Counter[str]
    passed_over: Counter[str]

    def sentences(self) -> Iterator[str]:
        """Yields what to say about it."""
        answered = self.covers - self.unreadable.total()
        yield f"{self.covers:,} covers given, {answered:,} answered" + (
            f", {self.unreadable.total():,} unreadable ("
            + ", ".join(f"{reason} {count:,}" for reason, count in self.unreadable.most_common())
            + ")"
            if self.unreadable
            else ""
        )
        if self.taken:
            yield f"{self.taken:,} of them were answered before the job was stopped"
        if self.passed_over:
            yield passed_over_sentence(self.passed_over)

    def to_dict(self) -> dict[str, Any]:
        """Returns the account ready for JSON."""
        return dataclasses.asdict(self)


def passed_over_sentence(passed_over: Counter[str]) -> str:
    """Returns what to say of files in folders that are no covers."""
    kinds = [f"{kind} {count:,}" for kind, count in passed_over.most_common()]
    return f"passed over in folders: {first_few(kinds)}"


def predict_to_file(
    given: Sequence[str],
    output: Path,
    *,
    model: Path,
    column: str | None = None,
    threads: int = 0,
    part_size: int = COVERS_IN_A_PART,
    beam_pipeline_args: Sequence[str] = LOCAL_BEAM_ARGS,
    console: TextIO,
) -> Account:
    """Writes what a model says of covers to a file; goes on where a killed run of it stopped.

    Args:
        given: see `list_covers`.
        output: a `.csv`, `.jsonl` or `.parquet` file; replaced if it is there.
        model: folder of a SavedModel of this project.
        column: the manifests' column of images.
        threads: files read at the same time; 0 for as many as there are processors, at least 4.
        part_size: covers in a part.
        beam_pipeline_args: which engine works, and how.
        console: shows progress.

    Raises:
        ConfigError: the output cannot be written, or another run is writing it.
        DataError: a manifest cannot be read.
        DeploymentError: the model is damaged or none of this project, or an object store failed.
        MachineError: the disk is full, for instance.
    """
    check_suffix(output)
    description = read_model_description(model)
    check_files(model, description.files)
    folder = output.with_name(f".{output.name}.parts")
    asked = _Asked(model, description, threads or max(4, os.cpu_count() or 1), beam_pipeline_args)
    try:
        with _locked(folder, output):
            account, parts = _do_parts(given, column, part_size, asked, folder, console)
            whole = folder / f"whole{output.suffix}"
            answers = _counted(_answers(parts), account.unreadable)
            write_table(answers, description.genres, whole, output.suffix)
            _publish(whole, output)
            shutil.rmtree(folder)
    except CoversError:
        raise
    except Exception as error:
        refused = machine_error(error, output.parent)
        if refused:
            raise refused from error
        raise
    return account


@dataclasses.dataclass(frozen=True)
class _Asked:
    model: Path
    description: ModelDescription
    threads: int
    beam_pipeline_args: Sequence[str]

    def header(self, names: Sequence[str]) -> str:
        """Returns the first line of a part: what tells that it answers for these covers."""
        digest = hashlib.sha256("\0".join(names).encode(*_ANY_NAME))
        model = json.dumps(dataclasses.asdict(self.description), sort_keys=True)
        return json.dumps(
            {
                "format": _FORMAT,
                "model": hashlib.sha256(model.encode()).hexdigest(),
                "covers": len(names),
                "names": digest.hexdigest(),
            }
        )


def _do_parts(
    given: Sequence[str],
    column: str | None,
    part_size: int,
    asked: _Asked,
    folder: Path,
    console: TextIO,
) -> tuple[Account, list[Path]]:
    """Does what is not done.

    Returns:
        The account, to which the unreadable covers are added when the parts are read, and the
        parts in their order.
    """
    from pipeline.commands.batch_prediction.answers import STAGE

    total, taken = _look_ahead(given, column, part_size, asked, folder)
    if not total:
        raise no_covers(given)
    passed_over: Counter[str] = Counter()
    scratch = folder / _SCRATCH
    parts: list[Path] = []
    shown = RunConsole(console)
    shown.stage_started(STAGE)
    with contextlib.closing(shown), progress.listening(shown.stage_progressed):
        progress.start(STAGE, total - taken, "covers")
        covers = list_covers(given, column=column, scratch=scratch, passed_over=passed_over)
        while part := _next_part(covers, part_size, scratch):
            parts.append(_part(folder, len(parts)))
            header = asked.header([cover.name for cover in part])
            if _header_of(parts[-1]) != header:
                _do(part, asked, header, parts[-1])
    for left_over in set(folder.glob(f"*{_PART}")) - set(parts):
        left_over.unlink()
    return Account(total, taken, Counter(), passed_over), parts


def _look_ahead(
    given: Sequence[str], column: str | None, part_size: int, asked: _Asked, folder: Path
) -> tuple[int, int]:
    """Returns how many covers there are, and how many of them are in parts that are done."""
    names = (cover.name for cover in list_covers(given, column=column))
    total = taken = number = 0
    while part := list(itertools.islice(names, part_size)):
        total += len(part)
        if _header_of(_part(folder, number)) == asked.header(part):
            taken += len(part)
        number += 1
    return total, taken


def _next_part(covers: Iterator[CoverFile], size: int, scratch: Path) -> list[CoverFile]:
    """Returns the next covers; the images that were extracted for the last ones are deleted."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return list(itertools.islice(covers, size))


def _part(folder: Path, number: int) -> Path:
    return folder / f"{number:07d}{_PART}"


def _header_of(part: Path) -> str | None:
    try:
        with part.open(encoding="utf-8") as file:
            return file.readline().rstrip("\n")
    except (OSError, UnicodeError):
        return None


def _do(covers: Sequence[CoverFile], asked: _Asked, header: str, part: Path) -> None:
    from pipeline.commands.batch_prediction.answers import answer

    partial = part.with_suffix(".partial")
    answer(
        covers,
        model=asked.model,
        description=asked.description,
        threads=asked.threads,
        beam_pipeline_args=asked.beam_pipeline_args,
        header=header,
        target=partial,
    )
    for each in _answers([partial]):
        if "failure" in each:
            raise _FAILURES[each["failure"]](
                f"{each['error']} What is done is kept: run the same command again."
            )
    _publish(partial, part)


def _answers(parts: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for part in parts:
        with part.open(encoding="utf-8") as file:
            next(file)
            yield from map(json.loads, file)


def _counted(
    answers: Iterable[dict[str, Any]], unreadable: Counter[str]
) -> Iterator[dict[str, Any]]:
    for answer in answers:
        if "reason" in answer:
            unreadable[answer["reason"]] += 1
        yield answer


def _publish(partial: Path, target: Path) -> None:
    """Gives a file its name once it is on the disk."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)
    sync_folder(target.parent)


@contextlib.contextmanager
def _locked(folder: Path, output: Path) -> Iterator[None]:
    """Makes the folder for the parts, which one process at a time may use."""
    try:
        folder.mkdir(exist_ok=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(
            f"Expected a folder in which to write {output.name}. Received: {output.parent}, which "
            "is none. Make it, or choose another --output."
        ) from error
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Expected nobody else to write {output}. Received: another `covers predict` that "
                "is doing so. Wait for it, or choose another --output."
            ) from error
        yield
