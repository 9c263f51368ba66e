"""The pipeline root: where runs, their metadata, logs and pushed models are stored."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path

from components.support.errors import ConfigError

DEFAULT_PIPELINE_ROOT = Path("pipeline_root")


@dataclasses.dataclass(frozen=True)
class Workspace:
    """The folders of one pipeline below a pipeline root.

    Attributes:
        root: the pipeline root, absolute.
        name: the pipeline's name.
    """

    root: Path
    name: str

    @property
    def artifacts(self) -> Path:
        """Where TFX puts artifacts."""
        return self.root / self.name

    @property
    def push_destination(self) -> Path:
        """Where pushed model versions are stored."""
        return self.artifacts / "serving"

    @property
    def checkpoints(self) -> Path:
        """Where training keeps the checkpoints it resumes from after a kill."""
        return self.artifacts / "checkpoints"

    @property
    def checked(self) -> Path:
        """Where a file each stands for a network that was built and trained on one batch."""
        return self.artifacts / "checked"

    @property
    def features(self) -> Path:
        """Where training runs keep the features of frozen backbones for one another."""
        return self.artifacts / "features"

    def log_file(self, run_id: str) -> Path:
        """The log of one run."""
        return self.artifacts / "logs" / f"{run_id}.log"

    def report_folder(self, run_id: str) -> Path:
        """Where the report of a run that ended before ReportGen is stored."""
        return self.artifacts / "reports" / run_id

    def sample(self, images: int, seed: int, genres: tuple[str, ...]) -> Path:
        """Where a generated sample with these properties is stored."""
        digest = hashlib.sha256("|".join(genres).encode()).hexdigest()[:8]
        return self.root / "samples" / f"{images}-covers-seed-{seed}-{digest}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second run out; the lock dies with its process.

        Raises:
            ConfigError: another run is using the pipeline root, or it cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / ".lock").open("w")
        except OSError as error:
            raise ConfigError(
                f"Expected a writable pipeline root. Received: {error}. "
                "Choose another with --pipeline-root."
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"Expected no other run in {self.root}. Received: one that is still running. "
                    "Wait for it, or choose another folder with --pipeline-root."
                ) from error
            yield


def model_folders(root: Path) -> list[Path]:
    """Lists the push destinations of all pipelines below a pipeline root."""
    return sorted(root.glob("*/serving"))
