"""One worker of a training run, in a process of its own: `python -m components.trainer.worker`.

It ends when whoever started it does, which holds its standard input. On standard output the chief
writes its progress, a JSON list per line: a report of four or a warning of two.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import threading
from pathlib import Path

from components.contracts.nodes import TRAINER
from components.support import progress
from components.support.errors import CoversError
from components.support.machine import machine_error
from components.trainer.handover import WorkerTask, WorkResult, write_error

LOST_THE_OTHERS = 75
"""The exit code of a worker that cannot go on since another one has ended."""


def main(folder: Path, threads: int) -> None:
    """Trains as one of the workers that `TF_CONFIG` describes.

    Args:
        folder: holds the task.
        threads: how many this worker may compute with; 0 leaves it to TensorFlow.
    """
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print is no report
    threading.Thread(target=_end_with_whoever_started_this, daemon=True).start()
    worker = int(json.loads(os.environ["TF_CONFIG"])["task"]["index"])
    logging.basicConfig(level=logging.INFO, format=f"worker {worker}: %(message)s", force=True)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)  # or it tells of every sum

    def tell(*report: str | int) -> None:
        reports.write(json.dumps(report) + "\n")

    is_chief = worker == 0
    ignored = progress.listening(lambda *_: None, lambda *_: None)
    try:
        with progress.listening(tell, tell) if is_chief else ignored:
            result = _train(WorkerTask.read(folder), threads)
        if result:
            result.write(folder)
    except Exception as error:
        known = error if isinstance(error, CoversError) else machine_error(error)
        if known:
            write_error(folder, worker, known)
            sys.exit(known.exit_code)
        logging.getLogger("covers").exception("The worker ends.")
        sys.exit(LOST_THE_OTHERS if _is_of_the_group(error) else 1)


def _train(task: WorkerTask, threads: int) -> WorkResult | None:
    """Returns what the chief hands over; None for another worker."""
    import numpy as np
    import tensorflow as tf

    from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT, LabelSchema
    from components.trainer.checkpoint_mirror import open_checkpoints
    from components.trainer.checkpoints import CHECKPOINT_FILE
    from components.trainer.config import TrainerConfig
    from components.trainer.dataset import read_split
    from components.trainer.features import open_feature_store
    from components.trainer.training import TrainingData, covers_that_decode, train_model
    from components.trainer.worker_group import WorkerGroup

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    progress.report(TRAINER, 0, 0, "waiting for all workers")
    group = WorkerGroup()
    config = TrainerConfig.from_fields(task.config)
    schema = LabelSchema.from_file(task.schema_path)
    train = read_split(task.train_files, schema, TRAIN_SPLIT)
    evaluation = read_split(task.eval_files, schema, EVAL_SPLIT)
    store = open_feature_store(task.feature_root, config)
    with covers_that_decode(), tempfile.TemporaryDirectory(prefix="covers-worker-") as own:
        resume_from = Path(own)
        if group.is_chief:
            checkpoints, mirror = open_checkpoints(task.checkpoint_root, task.recipe)
            run_dir = Path(task.run_dir)
        else:
            checkpoints, mirror, run_dir = None, None, resume_from
        # Each may see another state of a store or a network file system, and at another moment.
        group.share(checkpoints and checkpoints / CHECKPOINT_FILE, resume_from / CHECKPOINT_FILE)
        data = TrainingData.load(schema, train, evaluation, config, store, group)
        trained = train_model(data, config, run_dir, checkpoints, mirror, resume_from)
    if not group.is_chief:
        return None
    return WorkResult(
        trained.model.network.get_weights(),
        trained.findings,
        trained.epochs,
        trained.best_epoch,
        {name: np.asarray(features) for name, features in data.remembered.items()},
    )


def _is_of_the_group(error: Exception) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(error, tensorflow.errors.OpError)


def _end_with_whoever_started_this() -> None:
    while os.read(0, 1):  # not the buffered stream, whose lock would outlive the interpreter
        pass
    os._exit(LOST_THE_OTHERS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
