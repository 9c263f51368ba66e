"""A training that is killed with SIGKILL ends as if it had not been."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from components.contracts.diagnosis import AUGMENTATION_PICTURE, Finding, read_diagnosis
from components.contracts.signatures import HISTORY_FILE, WEIGHTS_FILE
from components.support import progress
from components.trainer.callbacks import ProgressReport
from components.trainer.checkpoints import (
    CHECKPOINT_FILE,
    checkpoint_folder,
    read_checkpoint,
    remove_checkpoint,
    write_checkpoint,
)
from components.trainer.config import TrainerConfig
from components.trainer.dataset import Position
from components.trainer.model import build_model, build_training_variables, compile_model
from components.trainer.state import TrainingState

_PROGRAM = Path(__file__).with_name("training_process.py")
_STEPS_PER_EPOCH = 5


@pytest.fixture
def config(small_config: TrainerConfig) -> TrainerConfig:
    """Everything random or with a memory: augmentation, dropout, averages, accumulation."""
    return TrainerConfig.model_validate(
        {
            **small_config.model_dump(),
            "epochs": 4,
            "early_stopping": {"monitor": "val_macro_roc_auc", "patience": 3},
            "checkpoint_seconds": 1e-6,
            "optimizer": {
                "AdamW": {
                    "learning_rate": 0.01,
                    "use_ema": True,
                    "ema_momentum": 0.8,
                    "gradient_accumulation_steps": 2,
                }
            },
        }
    )


@pytest.fixture
def train(covers, config: TrainerConfig, tmp_path: Path) -> Callable[..., int]:
    """Returns a function that trains in a process of its own; it returns the exit code."""
    shutil.copy(covers.schema_path, covers.root / "schema.pbtxt")

    def start(
        name: str,
        kill_after: int = 0,
        checkpoints: str = "",
        kill_at_end_of_epoch: int = 0,
        kill_before_export: bool = False,
    ) -> int:
        command = [sys.executable, str(_PROGRAM), str(covers.root), str(tmp_path / name)]
        command += [config.model_dump_json(), str(kill_after), "1", "0", checkpoints]
        command += [str(kill_at_end_of_epoch), "yes" if kill_before_export else ""]
        root = str(Path(__file__).parents[3])
        environment = {**os.environ, "PYTHONPATH": root, "PYTHONWARNINGS": "ignore"}
        return subprocess.run(command, env=environment, check=False).returncode

    return start


def history(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model_run" / HISTORY_FILE).read_text())


def weights(folder: Path, config: TrainerConfig) -> list[np.ndarray]:
    network = build_model(config, 5).network
    network.load_weights(folder / "model_run" / WEIGHTS_FILE)
    return network.get_weights()


@pytest.mark.slow
def test_killed_within_an_epoch_and_between_epochs_it_ends_as_if_never_killed(
    train, config, tmp_path
):
    assert train("whole") == 0
    # When an epoch is validated but has no checkpoint: it goes on in its last step.
    assert train("killed", kill_at_end_of_epoch=1) == -signal.SIGKILL
    within = 1 + _STEPS_PER_EPOCH + 4
    assert train("killed", kill_after=within) == -signal.SIGKILL
    assert not (tmp_path / "killed" / "Format-Serving").exists()
    (checkpoint,) = (tmp_path / "killed" / "checkpoints").glob(f"*/{CHECKPOINT_FILE}")
    # Again, in the first step of the next epoch: that one begins at a finished epoch.
    assert train("killed", kill_after=3) == -signal.SIGKILL
    # At the end of the last epoch, and after it.
    assert train("killed", kill_at_end_of_epoch=4) == -signal.SIGKILL
    assert train("killed", kill_before_export=True) == -signal.SIGKILL
    for file in (tmp_path / "killed" / "model_run").iterdir():  # of the attempt, which is over
        file.unlink() if file.is_file() else shutil.rmtree(file)
    assert train("killed") == 0
    assert not checkpoint.parent.exists()

    whole, killed = history(tmp_path / "whole"), history(tmp_path / "killed")
    assert whole["resumed_epochs"] == []
    assert killed["resumed_epochs"] == [1, 3, 4, 4, 5]
    assert killed["exported_epoch"] == whole["exported_epoch"]
    for row, resumed in zip(whole["epochs"], killed["epochs"], strict=True):
        del row["seconds"], resumed["seconds"]
        assert resumed == row
    expected = weights(tmp_path / "whole", config)
    for array, again in zip(expected, weights(tmp_path / "killed", config), strict=True):
        np.testing.assert_array_equal(again, array)
    findings = read_diagnosis(tmp_path / "whole" / "model_run")
    assert {finding.epoch for finding in findings} >= {None, 4}
    assert read_diagnosis(tmp_path / "killed" / "model_run") == findings
    pictures = [
        tmp_path / name / "model_run" / AUGMENTATION_PICTURE for name in ("whole", "killed")
    ]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


@pytest.mark.slow
def test_killed_with_nothing_left_but_an_object_store_it_ends_as_if_never_killed(
    train, config, tmp_path, s3
):
    root = "s3://bucket/killed/checkpoints"
    assert train("undisturbed") == 0
    assert train("first", 2 * _STEPS_PER_EPOCH + 4, root) == -signal.SIGKILL
    assert not (tmp_path / "first" / "checkpoints").exists()
    # The newest copy is damaged: the one before it, a step earlier, is as good.
    store = fsspec.filesystem("s3")
    store.invalidate_cache()
    copies = sorted(store.find(root))
    assert len(copies) == 2
    store.pipe_file(copies[-1], b"damaged")
    assert train("second", checkpoints=root) == 0
    store.invalidate_cache()
    assert store.find(root) == []

    assert history(tmp_path / "second")["resumed_epochs"] == [3]
    expected = weights(tmp_path / "undisturbed", config)
    for array, again in zip(expected, weights(tmp_path / "second", config), strict=True):
        np.testing.assert_array_equal(again, array)


@pytest.fixture
def model(small_config: TrainerConfig):
    model = build_model(small_config, 3)
    compile_model(model, small_config, steps_per_epoch=2)
    build_training_variables(model)
    return model


def test_a_checkpoint_holds_variables_and_state(model, small_config, tmp_path):
    state = TrainingState(None, Position(1, 4), [{"epoch": 1, "loss": 0.5}], 3.0)
    state.findings["mute"] = Finding("mute", "warning", "It says nothing.", "", {"covers": 3}, 1)
    state.best_weights = [weight + 1 for weight in model.network.get_weights()]
    write_checkpoint(tmp_path, model, state)
    before = [variable.numpy() for variable in model.variables]
    for variable in model.trainable_variables:
        variable.assign(variable + 1.0)

    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint is not None and checkpoint.fits(model)
    checkpoint.restore_variables(model)
    for variable, expected in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, expected)
    in_the_same_process = build_and_compile(small_config, genres=3)
    assert checkpoint.fits(in_the_same_process)
    checkpoint.restore_variables(in_the_same_process)
    for variable, expected in zip(in_the_same_process.variables, before, strict=True):
        np.testing.assert_array_equal(variable, expected)
    restored = TrainingState(None)
    checkpoint.restore_state(restored)
    assert restored.position == Position(1, 4)
    assert restored.resumed == [2]
    assert restored.epochs == state.epochs and restored.seconds == 3.0
    assert restored.findings == state.findings
    for array, expected in zip(restored.best_weights, state.best_weights, strict=True):
        np.testing.assert_array_equal(array, expected)
    assert not checkpoint.fits(build_and_compile(small_config, genres=4))
    checkpoint._arrays["optimizer/1000"] = np.zeros(3)
    assert not checkpoint.fits(model)


def test_progress_says_in_which_epoch_a_killed_training_resumed():
    state = TrainingState(None)
    report = ProgressReport(state, epochs=4, steps_per_epoch=5)
    said: list[str] = []
    with progress.listening(lambda *reported: said.append(reported[-1])):
        report.on_train_batch_end(0, {"loss": 1.0})
        state.restore({**state.to_dict(), "position": {"epoch": 2, "step": 3}}, None)
        report.on_train_batch_end(3, {"loss": 0.5})
    assert said == ["epoch 1/4 loss 1.00", "epoch 3/4 loss 0.50 (resumed in epoch 3)"]


def build_and_compile(config: TrainerConfig, genres: int):
    model = build_model(config, genres)
    compile_model(model, config, steps_per_epoch=2)
    build_training_variables(model)
    return model


@pytest.mark.parametrize("content", [b"", b"PK broken", b"x" * 100])
def test_a_broken_checkpoint_starts_over_and_says_so(content, tmp_path, caplog):
    assert read_checkpoint(tmp_path) is None
    (tmp_path / CHECKPOINT_FILE).write_bytes(content)
    assert read_checkpoint(tmp_path) is None
    assert "starting over" in caplog.text


def test_a_folder_that_cannot_be_made_keeps_none_and_says_so(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert checkpoint_folder(str(tmp_path / "file"), "recipe") is None
    assert "No checkpoints" in caplog.text


def _age(file: Path, days: float) -> None:
    then = time.time() - days * 24 * 3600
    os.utime(file, (then, then))


def test_forgotten_checkpoints_of_other_recipes_are_removed(tmp_path):
    old = checkpoint_folder(str(tmp_path), "a" * 64)
    new = checkpoint_folder(str(tmp_path), "b" * 64)
    assert old and new
    for folder, days in ((old, 20), (new, 1)):
        (folder / CHECKPOINT_FILE).touch()
        _age(folder / CHECKPOINT_FILE, days)
    checkpoint_folder(str(tmp_path), "c" * 64)
    assert not old.exists() and new.exists()


def test_what_is_not_a_checkpoint_of_ours_is_never_removed(tmp_path):
    other, mine = "a" * 32, "c" * 32
    foreign = [
        f"project/{CHECKPOINT_FILE}",
        "project/notes.txt",
        f"{other}/notes.txt",
        f"{'a' * 31}/{CHECKPOINT_FILE}",
        f"{'A' * 32}/{CHECKPOINT_FILE}",
        f"{mine}/notes.txt",
        CHECKPOINT_FILE,
    ]
    for name in (*foreign, f"{other}/{CHECKPOINT_FILE}", f"{mine}/{CHECKPOINT_FILE}"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        _age(tmp_path / name, 20)
    folder = checkpoint_folder(str(tmp_path), "c" * 64)
    assert folder
    remove_checkpoint(folder)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == set(foreign)


def test_a_checkpoint_that_another_training_removes_at_the_same_time_is_no_error(
    tmp_path, monkeypatch
):
    old = checkpoint_folder(str(tmp_path), "a" * 64)
    assert old
    (old / CHECKPOINT_FILE).touch()
    found = list(tmp_path.glob(f"*/{CHECKPOINT_FILE}"))
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(found))
    remove_checkpoint(old)
    assert checkpoint_folder(str(tmp_path), "c" * 64)
