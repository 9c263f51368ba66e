"""A training run on kept features writes what heads that did not see a cover say about it."""

from __future__ import annotations

import hashlib

import numpy as np

from components.contracts.out_of_fold import read_out_of_fold
from components.trainer.config import TrainerConfig
from components.trainer.diagnostics import cross_fit
from components.trainer.run import run_fn

_BACKBONE = {
    "name": "EfficientNetLite0",
    "features": "stages",
    "fine_tune": "none",
    "weights": "none",
}


def test_each_cover_of_train_and_eval_is_predicted_once(covers, tmp_path, monkeypatch):
    monkeypatch.setattr(cross_fit, "_FEWEST_COVERS", 20)
    config = TrainerConfig.model_validate(
        {"image_size": 32, "epochs": 1, "early_stopping": None, "backbone": _BACKBONE}
    )
    run_fn(covers.fn_args(config, tmp_path / "model", tmp_path))
    found = read_out_of_fold(tmp_path)
    assert found is not None
    encoded = [*covers.encoded["train"], *covers.encoded["eval"]]
    assert list(found.ids) == [hashlib.sha256(each).hexdigest() for each in encoded]
    labels = np.concatenate([covers.labels["train"], covers.labels["eval"]])
    np.testing.assert_array_equal(found.labels, labels > 0)
    assert found.probabilities.shape == labels.shape
    assert ((found.probabilities > 0) & (found.probabilities < 1)).all()
