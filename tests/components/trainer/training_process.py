"""A training in a process of its own: see test_checkpoints, test_devices and test_features."""

from __future__ import annotations

import json
import os
import signal
import sys
from types import SimpleNamespace

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf

from components.support import progress
from components.trainer import feature_store, run, training

_COVERS_IN_A_SEGMENT = 16


def main(
    root: str,
    folder: str,
    config: str,
    kill_after: str = "0",
    devices: str = "1",
    kill_after_covers: str = "0",
    checkpoints: str = "",
    kill_at_end_of_epoch: str = "0",
    kill_before_export: str = "",
) -> None:
    """Runs `run_fn` on the covers below `root`.

    Args:
        root: holds the splits and the schema.
        folder: where everything goes.
        config: a `TrainerConfig` as JSON.
        kill_after: the process kills itself after so many steps, unless 0.
        kill_after_covers: it does so after so many covers went through a frozen backbone.
        checkpoints: where they are kept; below `folder` unless given.
        devices: parts of this machine's processor that take the place of so many GPUs.
        kill_at_end_of_epoch: it does so when this epoch is validated but has no checkpoint, unless
            0.
        kill_before_export: it does so when all is done but the export, unless empty.
    """
    if kill_before_export:
        run.export_model = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if devices != "1":
        divide_the_processor(int(devices))
    tf.config.experimental.enable_op_determinism()
    feature_store._COVERS_IN_A_SEGMENT = _COVERS_IN_A_SEGMENT
    steps = 0

    def step_is_done(stage: str, done: int, total: int, detail: str) -> None:
        nonlocal steps
        if "frozen backbone" in detail:
            if done == int(kill_after_covers) != 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if done == total:
                print(f"seen {done} covers", flush=True)
        if " loss " in detail:
            steps += 1
            if steps == int(kill_after):
                os.kill(os.getpid(), signal.SIGKILL)
        elif detail.startswith(f"epoch {kill_at_end_of_epoch}/"):
            os.kill(os.getpid(), signal.SIGKILL)

    with progress.listening(step_is_done):
        run.run_fn(
            SimpleNamespace(
                train_files=[f"{root}/Split-train/*"],
                eval_files=[f"{root}/Split-eval/*"],
                schema_path=f"{root}/schema.pbtxt",
                serving_model_dir=f"{folder}/Format-Serving",
                model_run_dir=f"{folder}/model_run",
                hyperparameters=None,
                custom_config={
                    "config": json.loads(config),
                    "code_fingerprint": "code-1",
                    "checkpoint_folder": checkpoints or f"{folder}/checkpoints",
                    "feature_folder": f"{folder}/features",
                },
            )
        )


def divide_the_processor(parts: int) -> None:
    """Makes parts of the processor the devices that are trained on."""
    (processor,) = tf.config.list_physical_devices("CPU")
    part = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(processor, [part] * parts)
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    training.visible_devices = lambda: names


if __name__ == "__main__":
    main(*sys.argv[1:])
