from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components.contracts import signatures
from components.support import progress
from components.support.errors import ConfigError, DataError
from components.trainer.dataset import Position, label_prior
from components.trainer.run import run_fn
from components.trainer.state import TrainingState


def fn_args(covers, config, folder: Path, **changes) -> SimpleNamespace:
    """What TFX's GenericExecutor passes, as far as run_fn reads it."""
    arguments = {
        "train_files": covers.patterns("train"),
        "eval_files": covers.patterns("eval"),
        "schema_path": str(covers.schema_path),
        "serving_model_dir": str(folder / "Format-Serving"),
        "model_run_dir": str(folder / "model_run"),
        "hyperparameters": None,
        "custom_config": {"config": config.model_dump(mode="json"), "code_fingerprint": "1"},
    }
    return SimpleNamespace(**{**arguments, **changes})


def history(folder: Path) -> dict:
    return json.loads((folder / "model_run" / signatures.HISTORY_FILE).read_text())


def test_trains_exports_and_reports(covers, schema, small_config, tmp_path):
    reports: list[tuple[str, int, int, str]] = []
    with progress.listening(lambda *report: reports.append(report)):
        run_fn(fn_args(covers, small_config, tmp_path))

    description = signatures.read_model_description(tmp_path / "Format-Serving")
    assert description.genres == schema.genres
    assert len(description.recipe) == 64
    serve = tf.saved_model.load(str(tmp_path / "Format-Serving")).signatures
    served = serve[signatures.SERVING_SIGNATURE](
        image_bytes=tf.constant(covers.encoded["eval"][:3])
    )
    assert served[signatures.PROBABILITIES].shape == (3, 5)

    written = history(tmp_path)
    assert [row["epoch"] for row in written["epochs"]] == [1, 2]
    assert written["monitor"] == "val_loss"
    assert written["exported_epoch"] in (1, 2)
    metrics = {
        "loss", "macro_roc_auc", "macro_average_precision", "macro_f1", "hamming_loss",
        "labelwise_accuracy", "exact_match_ratio", "label_cardinality", "no_genre_share",
    }  # fmt: skip
    assert set(written["epochs"][0]) == {
        "epoch", "learning_rate", "seconds", *metrics, *(f"val_{name}" for name in metrics)
    }  # fmt: skip

    stages, done, totals, details = zip(*reports, strict=True)
    assert set(stages) == {"Trainer"}
    assert set(totals) == {10}
    assert list(done) == sorted(done) and done[-1] == 10
    assert details[0].startswith("epoch 1/2 loss ")
    assert "val_macro_roc_auc 0." in details[-1]


def test_the_seed_reproduces_a_run(covers, small_config, tmp_path):
    for name in ("first", "again"):
        run_fn(fn_args(covers, small_config, tmp_path / name))
    first, again = history(tmp_path / "first"), history(tmp_path / "again")
    for row, repeated in zip(first["epochs"], again["epochs"], strict=True):
        assert row["loss"] == pytest.approx(repeated["loss"], rel=1e-3)


def test_stops_early_with_the_best_weights(covers, small_config, tmp_path):
    config = small_config.model_validate(
        {
            **small_config.model_dump(),
            "epochs": 6,
            "augmentation": [],
            "learning_rate_schedule": "constant",
            "optimizer": {"SGD": {"learning_rate": 1e-30}},
            "early_stopping": {"monitor": "val_hamming_loss", "patience": 2},
        }
    )
    reports: list[tuple[str, int, int, str]] = []
    with progress.listening(lambda *report: reports.append(report)):
        run_fn(fn_args(covers, config, tmp_path))
    written = history(tmp_path)
    assert len(written["epochs"]) < 6
    values = [row["val_hamming_loss"] for row in written["epochs"]]
    assert written["exported_epoch"] == 1 + values.index(min(values))
    assert reports[-1][1] == reports[-1][2] == 30
    assert "stopped early" in reports[-1][3]


@pytest.mark.parametrize("logs", [{"loss": np.nan}, {"loss": 0.5, "val_loss": np.inf}])
def test_divergence_is_a_config_error(logs):
    state = TrainingState(early_stopping=None, position=Position(2, 0))
    with pytest.raises(ConfigError, match=r"Expected a finite loss. Received: .* in epoch 3"):
        state.finish_epoch(logs, learning_rate=0.1)


@pytest.mark.parametrize("labels", [[], [[0.0] * 5]])
def test_an_empty_or_label_less_train_split_is_a_data_error(
    covers, small_config, tmp_path, labels, example, write_split
):
    write_split(tmp_path, "train", [example(b"", label) for label in labels])
    arguments = fn_args(
        covers, small_config, tmp_path, train_files=[str(tmp_path / "Split-train" / "*")]
    )
    with pytest.raises(DataError, match="the train split"):
        run_fn(arguments)


def test_a_cover_that_does_not_decode_is_a_data_error(
    covers, small_config, tmp_path, example, write_split
):
    write_split(tmp_path, "train", [example(b"<html>", [1.0, 0.0, 0.0, 0.0, 0.0])] * 4)
    arguments = fn_args(
        covers, small_config, tmp_path, train_files=[str(tmp_path / "Split-train" / "*")]
    )
    with pytest.raises(DataError, match="to decode"):
        run_fn(arguments)


def test_label_prior_is_the_share_kept_off_the_edges():
    labels = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]], np.float32)
    np.testing.assert_allclose(label_prior(labels), [0.25, 0.125, 0.875])
