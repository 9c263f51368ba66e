"""Several workers train one model, as one process would, whatever happens to them."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.contracts.signatures import HISTORY_FILE, WEIGHTS_FILE
from components.support import progress
from components.support.errors import ConfigError
from components.trainer import launcher, worker_group
from components.trainer.config import TrainerConfig
from components.trainer.dataset import read_split
from components.trainer.feature_store import FeatureStore
from components.trainer.features import compute_features
from components.trainer.model import build_model
from components.trainer.parts import Part
from components.trainer.run import run_fn
from components.trainer.worker_group import WorkerGroup

_CONFIG = TrainerConfig.model_validate(
    {
        "image_size": 48,
        "batch_size": 13,
        "epochs": 3,
        "layers": [
            {"Rescaling": {"scale": 1 / 255}},
            {"Conv2D": {"filters": 8, "kernel_size": 3, "strides": 2, "use_bias": False}},
            {"BatchNormalization": {"momentum": 0.9}},
            "ReLU",
            "GlobalAveragePooling2D",
        ],
        "class_weights": "balanced",
        "optimizer": {"AdamW": {"learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.8}},
        "learning_rate_schedule": {"name": "cosine", "warmup_epochs": 1},
        "early_stopping": {"monitor": "val_loss", "patience": 3},
        "checkpoint_seconds": 1e-6,
    }
)


_ONLY_THE_CHIEF_SEES_CHECKPOINTS = """
import json, os, sys
from pathlib import Path
from components.trainer import checkpoint_mirror, worker

if json.loads(os.environ["TF_CONFIG"])["task"]["index"]:
    checkpoint_mirror.open_checkpoints = None
worker.main(Path(sys.argv[1]), int(sys.argv[2]))
"""


def train(covers: Any, config: TrainerConfig, folder: Path, **kept: str) -> None:
    places = {"checkpoint_folder": str(folder / "checkpoints"), **kept}
    run_fn(covers.fn_args(config, folder / "Format-Serving", folder / "model_run", **places))


def history(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model_run" / HISTORY_FILE).read_text())


def weights(folder: Path) -> list[np.ndarray]:
    network = build_model(_CONFIG, 5).network
    network.load_weights(folder / "model_run" / WEIGHTS_FILE)
    return network.get_weights()


def changed(config: TrainerConfig, **options: Any) -> TrainerConfig:
    return TrainerConfig.model_validate({**config.model_dump(), **options})


def kill_the_chief_after(step: int) -> Callable[..., None]:
    steps = 0

    def listen(stage: str, done: int, total: int, detail: str) -> None:
        nonlocal steps
        steps += " loss " in detail
        if steps == step:
            steps += 1
            os.kill(workers_of(os.getpid())[0], signal.SIGKILL)

    return listen


def workers_of(process: int) -> list[int]:
    """Returns the processes of the workers that a process has started, in their order."""
    found = {}
    for each in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(each.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if parent != process:
                continue
            variables = each.joinpath("environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile
            continue
        for variable in variables:
            if variable.startswith(b"TF_CONFIG="):
                found[json.loads(variable[10:])["task"]["index"]] = int(each.name)
    return [found[index] for index in sorted(found)]


@pytest.fixture(scope="module")
def trained(covers, tmp_path_factory) -> Callable[[int, Callable[..., None]], Path]:
    """Returns a function that trains with some workers, in a folder of its own."""

    def train_with(workers: int, listener: Callable[..., None]) -> Path:
        folder = tmp_path_factory.mktemp(f"workers_{workers}")
        with progress.listening(listener):
            train(covers, changed(_CONFIG, workers=workers), folder)
        return folder

    return train_with


@pytest.mark.slow
def test_two_workers_learn_what_one_process_learns_and_again_when_one_is_killed(
    trained, tmp_path, monkeypatch
):
    """Batch statistics, averaged weights and last batches of odd sizes included."""
    reports: list[str] = []
    one = trained(1, lambda *_: None)
    two = trained(2, lambda *report: reports.append(report[-1]))
    assert history(two)["exported_epoch"] == history(one)["exported_epoch"]
    for row, same in zip(history(one)["epochs"], history(two)["epochs"], strict=True):
        del row["seconds"], same["seconds"]
        assert same == pytest.approx(row, abs=5e-3)  # two covers may change places in a ranking
        assert same["loss"] == pytest.approx(row["loss"], rel=1e-4)
        assert same["val_loss"] == pytest.approx(row["val_loss"], rel=1e-3)
    for array, same in zip(weights(one), weights(two), strict=True):
        np.testing.assert_allclose(same, array, atol=1e-3)
    assert reports[-1].startswith("epoch 3/3")
    assert not list((two / "checkpoints").iterdir())

    program = tmp_path / "program.py"
    program.write_text(_ONLY_THE_CHIEF_SEES_CHECKPOINTS)
    monkeypatch.setattr(launcher, "_COMMAND", (sys.executable, str(program)))
    killed = trained(2, kill_the_chief_after(6))
    assert history(killed)["resumed_epochs"] == [2]
    for row, same in zip(history(two)["epochs"], history(killed)["epochs"], strict=True):
        del row["seconds"], same["seconds"]
        assert same == row
    for array, same in zip(weights(two), weights(killed), strict=True):
        np.testing.assert_array_equal(same, array)
    assert workers_of(os.getpid()) == []


def test_workers_do_not_share_gpus(covers, tmp_path, monkeypatch):
    gpus = {"GPU": ["GPU:0"]}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus.get(kind, []))
    with pytest.raises(ConfigError, match=r"trainer\.workers=1 on .*: workers=2, and 1 GPU\. The"):
        train(covers, changed(_CONFIG, workers=2), tmp_path)


def test_each_worker_draws_random_numbers_of_its_own(small_config):
    def drawn(index: int) -> tuple[np.ndarray, np.ndarray]:
        model = build_model(small_config, 5)
        group = WorkerGroup.__new__(WorkerGroup)
        group.part = Part(index, 2)
        group.draw_apart(model)
        covers = np.random.default_rng(0).random((4, 48, 48, 3)).astype(np.float32)
        return model.network.get_weights()[0], np.asarray(model(covers, training=True))

    (kernel, first), (same_kernel, second) = drawn(0), drawn(1)
    np.testing.assert_array_equal(kernel, same_kernel)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, drawn(0)[1])


def test_a_worker_with_several_gpus_is_refused(monkeypatch):
    cluster = SimpleNamespace(num_tasks=lambda kind: 2)
    resolver = SimpleNamespace(task_id=0, cluster_spec=lambda: cluster)
    strategy = SimpleNamespace(num_replicas_in_sync=4, cluster_resolver=resolver)
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", lambda: strategy)
    with pytest.raises(ConfigError, match=r"each of 2 workers\. Received: 4 in all"):
        WorkerGroup()


class Together:
    """Stands for a WorkerGroup whose workers are threads."""

    def __init__(self, index: int, arrays: list[np.ndarray | None], barrier: threading.Barrier):
        self.part = Part(index, len(arrays))
        self.is_chief = index == 0
        self.arrays = arrays
        self.barrier = barrier

    def add_up(self, array: np.ndarray) -> np.ndarray:
        self.arrays[self.part.index] = array
        self.barrier.wait(60)
        total = np.sum(self.arrays, axis=0)
        self.barrier.wait(60)
        return total


@pytest.mark.parametrize(
    ("content", "has_a_folder"),
    [
        (None, True),
        (b"", True),
        (b"12345", True),
        (b"12345", False),
        (bytes(range(256)) * 33, True),
    ],
)
def test_every_worker_gets_the_checkpoint_that_the_chief_sees(
    content, has_a_folder, tmp_path, monkeypatch
):
    arrays: list[np.ndarray | None] = [None, None]
    barrier = threading.Barrier(2)
    monkeypatch.setattr(
        WorkerGroup,
        "_add_up",
        lambda group, own: [Together(group.part.index, arrays, barrier).add_up(own[0])],
    )
    monkeypatch.setattr(worker_group, "_BYTES_AT_ONCE", 4096)
    kept = tmp_path / "kept" if has_a_folder else None
    if content is not None:
        (tmp_path / "kept").write_bytes(content)
    copies = [tmp_path / "chief", tmp_path / "other"]

    def share(index: int) -> None:
        group = WorkerGroup.__new__(WorkerGroup)
        group.part = Part(index, 2)
        group.share(kept if index == 0 else None, copies[index])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(share, range(2)))
    for copy in copies:
        assert copy.exists() == bool(content and has_a_folder)
        assert not copy.exists() or copy.read_bytes() == content


def test_workers_share_what_a_frozen_backbone_has_to_see(covers, schema, small_config, tmp_path):
    split = read_split(covers.patterns("train"), schema, "train")
    image = keras.Input((48, 48, 3))
    extractor = keras.Model(image, keras.layers.AveragePooling2D(16)(image))
    config = changed(small_config, batch_size=4)
    store = FeatureStore(tmp_path, limit=1e9)
    expected = compute_features(extractor, "a" * 64, split, None, schema, config, None).numpy()
    store.write("a" * 64, split.ids[:7], expected[:7])

    seen: list[int] = []
    predict = extractor.predict_on_batch
    extractor.predict_on_batch = lambda batch: seen.append(len(batch)) or predict(batch)
    arrays: list[np.ndarray | None] = [None, None]
    barrier = threading.Barrier(2)

    def work(index: int) -> np.ndarray:
        group = Together(index, arrays, barrier)
        own = store if index == 0 else None  # a machine of its own, without any
        return compute_features(
            extractor, "a" * 64, split, None, schema, config, own, group
        ).numpy()

    with ThreadPoolExecutor(2) as pool:
        for features in pool.map(work, range(2)):
            np.testing.assert_allclose(features, expected, rtol=1e-6)
    assert sum(seen) == len(split.ids) - 7
