"""`covers train-worker`: a worker of trainings that begin on another machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from components.support.errors import ConfigError
from components.support.signals import interruptible
from components.trainer.attendance import attend, meeting_folder
from components.trainer.launcher import Worker, start_worker
from pipeline.config import PipelineConfig
from pipeline.runner.fingerprints import fingerprint_code
from pipeline.runner.workspace import Workspace


def wait_for_trainings(
    config: PipelineConfig, index: int, pipeline_root: Path, tell: Callable[[str], None]
) -> None:
    """Works whenever a run of this configuration trains, until it is interrupted.

    Args:
        config: names the pipeline and the workers.
        index: which worker this is, from 1.
        pipeline_root: as the run sees it, too.
        tell: is told what happens.

    Raises:
        ConfigError: the configuration has no such worker, or no folder to meet in.
    """
    addresses = config.trainer.worker_addresses
    if not 0 < index < len(addresses):
        raise ConfigError(
            f"Expected trainer.worker_addresses to have the address of worker {index} after that "
            f"of worker 0, which is the run's own. Received: {', '.join(addresses) or 'none'}."
        )
    kept = Workspace(pipeline_root.resolve(), config.name).checkpoints
    folder = meeting_folder(config.trainer.checkpoint_folder or str(kept))
    with interruptible():
        attend(folder, index, fingerprint_code("trainer"), _started, tell)


@contextlib.contextmanager
def _started(folder: Path, addresses: Sequence[str], index: int) -> Iterator[Worker]:
    with start_worker(folder, addresses, index, threads=0) as process:
        try:
            yield process
        finally:
            process.kill()
