"""The pipeline root: where runs, their metadata, logs and pushed models are stored."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from pathlib import Path

from pipeline.runner.lock import hold_root

DEFAULT_PIPELINE_ROOT = Path("pipeline_root")
EARLIER = "earlier"
MLFLOW_FOLDER = "mlruns"


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
    def earlier(self) -> Path:
        """Where results go that lay in the way of new ones and that ML Metadata does not know."""
        return self.artifacts / EARLIER

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

    @property
    def logs(self) -> Path:
        """Where each run has its log."""
        return self.artifacts / "logs"

    @property
    def reports(self) -> Path:
        """Where each run that ended before ReportGen has a folder for its report."""
        return self.artifacts / "reports"

    @property
    def mlflow(self) -> Path:
        """Where the runs of all pipelines of the root are logged unless a place is named."""
        return self.root / MLFLOW_FOLDER

    @property
    def drift(self) -> Path:
        """Where the latest report of `covers drift` is."""
        return self.artifacts / "drift"

    def log_file(self, run_id: str) -> Path:
        """The log of one run."""
        return self.logs / f"{run_id}.log"

    def report_folder(self, run_id: str) -> Path:
        """Where the report of a run that ended before ReportGen is stored."""
        return self.reports / run_id

    def sample(self, images: int, seed: int, genres: tuple[str, ...]) -> Path:
        """Where a generated sample with these properties is stored."""
        digest = hashlib.sha256("|".join(genres).encode()).hexdigest()[:8]
        return samples(self.root) / f"{images}-covers-seed-{seed}-{digest}"

    def locked(self, run_id: str) -> contextlib.AbstractContextManager[None]:
        """Keeps other commands out of the pipeline root during a run; see `hold_root`."""
        return hold_root(self.root, run_id=run_id, pipeline=self.name)


def workspaces(root: Path) -> list[Workspace]:
    """Lists what may be the workspaces of pipelines: all folders of a pipeline root."""
    return [Workspace(root, entry.name) for entry in sorted(root.iterdir()) if entry.is_dir()]


def model_folders(root: Path) -> list[Path]:
    """Lists the push destinations of all pipelines below a pipeline root."""
    return sorted(root.glob("*/serving"))


def samples(root: Path) -> Path:
    """Where the generated samples of all pipelines are stored."""
    return root / "samples"


def generated_samples(root: Path) -> list[Path]:
    """Lists the generated samples below a pipeline root."""
    return sorted(samples(root).glob("*-covers-seed-*"))


def below_root(recorded: str, root: Path) -> Path:
    """Returns where something recorded as a path in a pipeline root is, should the root have moved.

    Args:
        recorded: the path, absolute.
        root: the pipeline root now, absolute.

    Returns:
        The longest end of the path that exists below the root; if none does, the path itself.
    """
    path = Path(recorded)
    if path.is_relative_to(root) and path.exists():
        return path
    # The last part alone would find a file of another pipeline.
    ends = (root.joinpath(*path.parts[start:]) for start in range(1, len(path.parts) - 1))
    return next((end for end in ends if end.exists()), path)
