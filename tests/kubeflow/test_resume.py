"""A Trainer whose pod is killed on the back end resumes from the object store."""

from __future__ import annotations

import copy
import json
import threading
import time
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
from kfp_backend import Backend, TaskRun

from components.contracts.signatures import HISTORY_FILE, WEIGHTS_FILE
from pipeline.commands.sample import write_sample
from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline

pytestmark = pytest.mark.slow

ROOT = "s3://bucket/resume"
EPOCHS = 12
NEEDED = {"DataFingerprint", "LabelSchemaGen", "CoverExampleGen", "Trainer"}
OPTIONS = [
    f"trainer.epochs={EPOCHS}",
    "trainer.checkpoint_seconds=0.001",
    "kubeflow.tasks={Trainer: {retries: {max: 1}}}",
]


def _kill_when_there_are_checkpoints(backend: Backend, killed: list[str]) -> None:
    store = fsspec.filesystem("s3")
    for _ in range(3000):
        store.invalidate_cache()
        found = store.find(f"{ROOT}/tiny/checkpoints")
        if found and "Trainer" in backend.processes:
            backend.processes["Trainer"].kill()
            killed.extend(found)
            return
        time.sleep(0.05)


def _history(backend: Backend, run: TaskRun) -> dict[str, Any]:
    folder = backend.stored(run.artifacts["model_run"]["uri"])
    return json.loads((folder / HISTORY_FILE).read_text())


def _weights(backend: Backend, run: TaskRun) -> dict[str, np.ndarray]:
    arrays = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(backend.stored(run.artifacts["model_run"]["uri"]) / WEIGHTS_FILE) as file:
        file.visititems(keep)
    return arrays


def test_a_killed_trainer_ends_with_the_same_weights(
    tiny_config: Path, tmp_path: Path, s3: dict[str, str], labels: Any
) -> None:
    covers = write_sample(tmp_path / "covers", genres=labels.genres, images=120, seed=3)
    spec = copy.deepcopy(compile_pipeline(load_config(tiny_config, OPTIONS)).documents[0])
    spec["root"]["dag"]["tasks"]["Trainer"]["cachingOptions"] = {}
    backend = Backend(tmp_path / "backend")

    def run() -> TaskRun:
        runs = backend.run(
            [spec],
            pipeline_root=ROOT,
            parameters={"data": str(covers), "push_destination": "none"},
            env={**s3, "TF_DETERMINISTIC_OPS": "1"},
            only=NEEDED,
        )
        assert runs["Trainer"].state == "succeeded", runs["Trainer"].log
        return runs["Trainer"]

    undisturbed = run()
    assert undisturbed.attempts == 1
    assert fsspec.filesystem("s3").find(f"{ROOT}/tiny/checkpoints") == []
    backend.processes.clear()
    killed: list[str] = []
    killer = threading.Thread(target=_kill_when_there_are_checkpoints, args=(backend, killed))
    killer.start()
    resumed = run()
    killer.join()

    assert killed
    assert resumed.attempts == 2
    assert "Training resumes from" in resumed.log
    assert len(_history(backend, resumed)["resumed_epochs"]) == 1
    assert _history(backend, undisturbed)["resumed_epochs"] == []
    expected, again = _weights(backend, undisturbed), _weights(backend, resumed)
    assert expected.keys() == again.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)
    fsspec.filesystem("s3").invalidate_cache()
    assert fsspec.filesystem("s3").find(f"{ROOT}/tiny/checkpoints") == []
