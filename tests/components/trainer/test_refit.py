"""Refitting on train and eval: honest out-of-fold predictions, and a head that saw both splits."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from components.contracts import signatures
from components.contracts.decision_counts import read_counts
from components.support.errors import ConfigError
from components.trainer import refit as module
from components.trainer.config import TrainerConfig
from components.trainer.diagnostics.cross_fit import grouped_folds
from components.trainer.diagnostics.examine import examine_training
from components.trainer.run import run_fn

_FIELDS = {
    "image_size": 32,
    "epochs": 2,
    "batch_size": 16,
    "backbone": {
        "name": "EfficientNetLite0",
        "features": "stages",
        "fine_tune": "none",
        "weights": "none",
    },
    "calibration": "platt",
    "decision_thresholds": "label_share",
    "refit": True,
}


@pytest.fixture(scope="module")
def refitted(covers, tmp_path_factory):
    """Trains with `refit`; returns the folder, and the rows that each fit was given."""
    folder = tmp_path_factory.mktemp("refitted")
    fits: list[tuple[np.ndarray, np.ndarray]] = []
    fit = module.fit_again

    def recorded(head, features, labels, *rest):
        fits.append((np.asarray(features), labels))
        fit(head, features, labels, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit_again", recorded)
        config = TrainerConfig.model_validate(_FIELDS)
        run_fn(covers.fn_args(config, folder / "model", folder / "model_run"))
    return folder, fits


def test_the_last_of_six_fits_sees_both_splits_and_each_other_leaves_a_fifth_out(covers, refitted):
    _, fits = refitted
    labels = np.concatenate([covers.labels["train"], covers.labels["eval"]])
    np.testing.assert_array_equal(fits[-1][1], labels)
    every = {features.tobytes() for features in fits[-1][0]}
    left_out = [every - {row.tobytes() for row in features} for features, _ in fits[:-1]]
    assert len(left_out) == 5
    assert all(left_out)
    assert set.union(*left_out) == every
    assert sum(map(len, left_out)) == len(every)


def test_thresholds_and_calibration_rest_on_all_covers(covers, refitted):
    folder, _ = refitted
    history = json.loads((folder / "model_run" / signatures.HISTORY_FILE).read_text())
    labels = np.concatenate([covers.labels["train"], covers.labels["eval"]])
    assert history["refit"] == {
        "covers": len(labels),
        "epochs": history["exported_epoch"],
        "folds": 5,
    }
    assert history["calibration"]["method"] == "platt"
    counts = read_counts(folder / "model_run")
    assert counts is not None
    assert counts.covers == len(labels)
    assert counts.true == tuple(labels.sum(axis=0))
    assert counts.decided == counts.true  # what label_share promises on the covers it is tuned on


def test_the_served_model_is_the_refitted_one(covers, schema, refitted, tmp_path):
    folder, _ = refitted
    for split, source in (("train", "train"), ("eval", "eval"), ("test", "eval")):
        shutil.copytree(covers.root / f"Split-{source}", tmp_path / f"Split-{split}")
    diagnosis = examine_training(folder / "model_run", folder / "model", tmp_path, schema)
    assert diagnosis.split == "test"  # eval was trained on

    serve = tf.saved_model.load(str(folder / "model")).signatures[signatures.SERVING_SIGNATURE]
    encoded = tf.constant(covers.encoded["eval"])
    served = serve(image_bytes=encoded)[signatures.PROBABILITIES].numpy()
    assert f"{(served >= 0).mean(axis=1).sum():.0f} covers" in diagnosis.measured[0]
    decided = serve(image_bytes=encoded)[signatures.DECISIONS].numpy()
    assert f"{decided.sum(axis=1).mean():.2f} genres per cover" in diagnosis.measured[2]


def test_a_group_is_in_one_fold():
    groups = [f"group {number % 40}" for number in range(200)]
    folds = grouped_folds(groups, 5, np.random.default_rng(0))
    assert set(folds) == set(range(5))
    for group in set(groups):
        assert len({fold for fold, own in zip(folds, groups, strict=True) if own == group}) == 1


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"augmentation": [{"RandomFlip": {"mode": "horizontal"}}]}, "augmentation"),
        ({"backbone": {"name": "EfficientNetLite0"}}, "layers that train on images"),
        ({"backbone": None, "layers": ["Flatten"]}, "layers that train on images"),
    ],
)
def test_refit_is_for_frozen_backbones(changes, received):
    with pytest.raises(ConfigError, match=rf"(?s)refit.*Received: {received}"):
        TrainerConfig.from_fields({**_FIELDS, **changes})
