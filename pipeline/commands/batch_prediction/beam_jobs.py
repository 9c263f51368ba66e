"""Beam jobs that answer parts: in this process one part at a time, on an engine many.

An engine says nothing until a job has ended, so what it has done is seen from the answers that
appear in the folder of the parts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from components.contracts.signatures import ModelDescription
from components.support import progress
from components.support.compat import LOCAL_BEAM_ARGS
from components.support.engine_errors import engine_error
from components.support.engine_jobs import jobs_end_with_their_run
from components.support.errors import DeploymentError
from components.support.signals import interruptible
from pipeline.commands.batch_prediction.parts import Part
from pipeline.engine.config import EngineConfig

JOB = ".job"
"""Ending of the file that says that a job's answers are wanted."""

_PARTS_FOR_A_SLOT = 16
_SLOTS_IF_UNKNOWN = 32
_SECONDS_BETWEEN_LOOKS = 1.0
# A file that another machine wrote is seen when a network file system's cache has forgotten that it
# was not there.
_SECONDS_UNTIL_SEEN = 90.0
_SHARED = "the covers, the model and the output"
_KEPT = "what is done is kept"


@dataclasses.dataclass(frozen=True)
class BeamJobs:
    """How parts are answered.

    Attributes:
        model: folder of a SavedModel of this project.
        description: of that model.
        engine: what does it.
        beam_pipeline_args: further arguments of Beam's, after the engine's.
        threads: files that a worker reads at the same time; 0 for as many as it has processors.
    """

    model: Path
    description: ModelDescription
    engine: EngineConfig
    beam_pipeline_args: Sequence[str] = ()
    threads: int = 0

    @property
    def most_parts(self) -> int:
        """How many parts a job may have."""
        if self.engine.is_local:
            return 1
        return _PARTS_FOR_A_SLOT * (self.engine.slots or _SLOTS_IF_UNKNOWN)

    def run(self, folder: Path, asked: Mapping[int, str], stage: str) -> None:
        """Does parts that have been asked for.

        Args:
            folder: where they are.
            asked: number of each part -> its header.
            stage: whose progress it is.

        Raises:
            DeploymentError: the engine ended the job, a worker does not see a file, or an object
                store failed.
        """
        folder = folder.absolute()
        wanted = folder / f"{uuid.uuid4().hex}{JOB}"
        wanted.touch()
        looking = _Looking(folder, asked, wanted, "" if self.engine.is_local else stage)
        try:
            if self.engine.is_local:
                self._submit(list(asked), folder, wanted, stage)
            else:
                self._submit_elsewhere(list(asked), folder, wanted, looking)
            looking.finish()
            for number in asked:
                Part(folder, number).withdraw()
        finally:
            wanted.unlink(missing_ok=True)

    def _submit_elsewhere(
        self, numbers: Sequence[int], folder: Path, wanted: Path, looking: _Looking
    ) -> None:
        try:
            with looking.meanwhile(), interruptible(), jobs_end_with_their_run():
                self._submit(numbers, folder, wanted, "")
        except Exception as error:
            if looking.error:
                raise looking.error from error
            ended = engine_error(error, _SHARED, _KEPT)
            if ended:
                raise ended from error
            raise

    def _submit(self, numbers: Sequence[int], folder: Path, wanted: Path, stage: str) -> None:
        from pipeline.commands.batch_prediction import answers

        answers.answer(
            numbers,
            folder=folder,
            wanted=wanted,
            model=self.model.absolute(),
            description=self.description,
            threads=self.threads,
            stage=stage,
            beam_pipeline_args=(*self._engine_args(), *self.beam_pipeline_args),
        )

    def _engine_args(self) -> Sequence[str]:
        return LOCAL_BEAM_ARGS if self.engine.is_local else self.engine.beam_args()


class _Looking:
    """Accepts the answers of a job; withdraws it if some say that all is in vain.

    Args:
        folder: where the parts are.
        asked: number of each part -> its header.
        wanted: the job's file.
        stage: whose progress is told, that of other machines; empty if it is this process.
    """

    def __init__(self, folder: Path, asked: Mapping[int, str], wanted: Path, stage: str) -> None:
        self._folder = folder
        self._open = dict(asked)
        self._wanted = wanted
        self._stage = stage
        self._ended = threading.Event()
        self.error: Exception | None = None

    @contextlib.contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Looks again and again while the block runs."""
        thread = threading.Thread(target=self._look_again_and_again, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def finish(self) -> None:
        """Accepts what is left when the job has ended well.

        Raises:
            CoversError: there are no answers for some part, or they say what failed.
        """
        end = time.monotonic() + (_SECONDS_UNTIL_SEEN if self._stage else 0.0)
        self._look()
        while self._open and not self.error and time.monotonic() < end:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            self._look()
        if self.error:
            raise self.error
        if self._open:
            raise DeploymentError(
                f"Expected the answers of the engine's workers in {self._folder}. Received: none "
                f"for {len(self._open):,} parts, though the job has ended. Put {_SHARED} into a "
                "folder that all workers mount. What is done is kept: run the same command again."
            )

    def _look_again_and_again(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_LOOKS) and not self.error:
            self._look()

    def _look(self) -> None:
        try:
            for number in Part.answered_in(self._folder) & set(self._open):
                part = Part(self._folder, number)
                if part.is_answered(self._open[number]):
                    del self._open[number]
                    covers = part.accept(elsewhere=bool(self._stage))
                    if self._stage:
                        progress.advance(self._stage, covers)
        except Exception as error:  # in a thread, where nobody would see it
            self.error = error
            self._wanted.unlink(missing_ok=True)
