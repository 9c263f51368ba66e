"""Answers for covers without number, in parts: each is done once, however often the job is killed.

Beside the output there is a folder for the parts. One that was done for other covers or another
model is done again. In the end the parts become the output, in one step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import glob
import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from components.contracts.saved_models import check_files
from components.contracts.signatures import read_model_description
from components.support import progress
from components.support.durable import sync_folder
from components.support.errors import ConfigError, CoversError
from components.support.machine import machine_error
from components.support.texts import first_few
from pipeline.commands.batch_prediction.beam_jobs import JOB, BeamJobs
from pipeline.commands.batch_prediction.covers import CoverFile, list_covers, no_covers
from pipeline.commands.batch_prediction.parts import Answer, Part, make_header
from pipeline.commands.batch_prediction.tables import check_suffix, write_table
from pipeline.engine.config import EngineConfig
from pipeline.engine.reach import check_reachable
from pipeline.runner.console import RunConsole

COVERS_IN_A_PART = 1024

STAGE = "predict"

_SCRATCH = "images"
_LOCK = "lock"


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
    engine: EngineConfig | None = None,
    beam_pipeline_args: Sequence[str] = (),
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
        engine: what does the work; this process by default.
        beam_pipeline_args: further arguments of Beam's, after the engine's.
        console: shows progress.

    Raises:
        ConfigError: the output cannot be written, or another run is writing it.
        DataError: a manifest cannot be read.
        DeploymentError: the model is damaged or none of this project, or an object store or the
            engine failed.
        MachineError: the disk is full, for instance.
    """
    check_suffix(output)
    description = read_model_description(model)
    check_files(model, description.files)
    folder = output.with_name(f".{output.name}.parts")
    jobs = BeamJobs(model, description, engine or EngineConfig(), beam_pipeline_args, threads)
    check_reachable(jobs.engine)
    try:
        with _locked(folder, output):
            account, parts = _do_parts(given, column, part_size, jobs, folder, console)
            whole = folder / f"whole{output.suffix}"
            answers = _counted(_answers(parts), account.unreadable)
            write_table(answers, description.genres, whole, output.suffix)
            _publish(whole, output)
            _remove(folder)
    except CoversError:
        raise
    except Exception as error:
        refused = machine_error(error, output.parent)
        if refused:
            raise refused from error
        raise
    return account


def _do_parts(
    given: Sequence[str],
    column: str | None,
    part_size: int,
    jobs: BeamJobs,
    folder: Path,
    console: TextIO,
) -> tuple[Account, list[Part]]:
    """Does what is not done.

    Returns:
        The account, to which the unreadable covers are added when the parts are read, and the
        parts in their order.
    """
    for job in folder.glob(f"*{JOB}"):  # of a run that was killed, unlike the engine's job
        job.unlink()
    total, taken = _look_ahead(given, column, part_size, jobs, folder)
    if not total:
        raise no_covers(given)
    passed_over: Counter[str] = Counter()
    scratch = folder / _SCRATCH
    _make_empty(scratch)
    asked: dict[int, str] = {}
    number = 0
    shown = RunConsole(console)
    shown.stage_started(STAGE)
    with (
        contextlib.closing(shown),
        progress.listening(shown.stage_progressed, shown.stage_warned),
    ):
        progress.start(STAGE, total - taken, "covers")
        covers = list_covers(given, column=column, scratch=scratch, passed_over=passed_over)
        while covers_of_part := list(itertools.islice(covers, part_size)):
            header = make_header(jobs.description, [cover.name for cover in covers_of_part])
            part = Part(folder, number)
            if _is_done(part, header, covers_of_part):
                _delete_extracted(covers_of_part, scratch)
            else:
                part.ask(header, covers_of_part)
                asked[number] = header
            if len(asked) == jobs.most_parts:
                jobs.run(folder, asked, STAGE)
                asked.clear()
                _make_empty(scratch)
            number += 1
        if asked:
            jobs.run(folder, asked, STAGE)
    parts = [Part(folder, each) for each in range(number)]
    for left_over in Part.done_in(folder) - set(range(number)):
        Part(folder, left_over).remove()
    return Account(total, taken, Counter(), passed_over), parts


def _is_done(part: Part, header: str, covers: Sequence[CoverFile]) -> bool:
    """Tells whether a part is done; accepts what workers wrote for a run that was killed."""
    if not part.is_done(header) and part.is_answered(header):
        part.ask(header, covers)  # What that run extracted is not there any longer.
        with contextlib.suppress(CoversError):
            part.accept(elsewhere=True)
    return part.is_done(header)


def _look_ahead(
    given: Sequence[str], column: str | None, part_size: int, jobs: BeamJobs, folder: Path
) -> tuple[int, int]:
    """Returns how many covers there are, and how many of them are in parts that are done."""
    names = (cover.name for cover in list_covers(given, column=column))
    total = taken = number = 0
    while names_of_part := list(itertools.islice(names, part_size)):
        total += len(names_of_part)
        part = Part(folder, number)
        header = make_header(jobs.description, names_of_part)
        if part.is_done(header) or part.is_answered(header):
            taken += len(names_of_part)
        number += 1
    return total, taken


def _make_empty(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(exist_ok=True)


def _delete_extracted(covers: Sequence[CoverFile], scratch: Path) -> None:
    for cover in covers:
        if cover.path and Path(cover.path).parent == scratch:
            Path(cover.path).unlink()


def _answers(parts: Sequence[Part]) -> Iterator[Answer]:
    return itertools.chain.from_iterable(part.answers() for part in parts)


def _counted(answers: Iterable[Answer], unreadable: Counter[str]) -> Iterator[Answer]:
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
    with _lock(folder, output) as lock:
        for left in folder.parent.glob(f"{glob.escape(folder.name)}.*"):  # by `_remove`, killed
            shutil.rmtree(left, ignore_errors=True)
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                if _is_in(folder, lock) and [each.name for each in folder.iterdir()] == [_LOCK]:
                    _remove(folder)
            raise


def _lock(folder: Path, output: Path) -> TextIO:
    while True:
        try:
            folder.mkdir(exist_ok=True)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ConfigError(
                f"Expected a folder in which to write {output.name}. Received: {output.parent}, "
                "which is none. Make it, or choose another --output."
            ) from error
        with contextlib.ExitStack() as stack, contextlib.suppress(FileNotFoundError):
            lock = stack.enter_context((folder / _LOCK).open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"Expected nobody else to write {output}. Received: another `covers predict` "
                    "that is doing so. Wait for it, or choose another --output."
                ) from error
            # Whoever had it may have removed the folder after we opened the file.
            if _is_in(folder, lock):
                stack.pop_all()
                return lock


def _is_in(folder: Path, lock: TextIO) -> bool:
    return os.path.samestat(os.fstat(lock.fileno()), (folder / _LOCK).stat())


def _remove(folder: Path) -> None:
    """Removes the folder for the parts in one step, as another run may make it anew at once."""
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    folder.replace(aside)
    # A worker of a job that nobody wants any longer may be about to write something.
    shutil.rmtree(aside, ignore_errors=True)
