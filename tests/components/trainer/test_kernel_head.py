"""A kernel beside the layers after frozen backbones, from training to the served model."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from components.contracts import signatures
from components.contracts.cover_embeddings import read_cover_embeddings
from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from components.trainer.diagnostics.examine import examine_training
from components.trainer.head import split_at_features
from components.trainer.kernel_head import (
    Mixture,
    describe,
    fit_mixture,
    with_empty_kernel,
    with_kernel,
)
from components.trainer.kernel_ridge import fit_kernel
from components.trainer.model import build_model
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
    "kernel": {"components": 20, "penalty": 0.1},
    "decision_thresholds": "label_share",
}
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
LABELS = np.random.default_rng(1).integers(0, 2, (24, 5)).astype(np.float32)


def test_the_mixture_is_the_most_likely_one():
    random = np.random.default_rng(0)
    logits, scores = random.normal(size=(2, 20_000, 3))
    shifts = np.array([-2.0, 0.5, 0.0])
    labels = random.random(logits.shape) < expit(0.3 * logits + 2.0 * scores + shifts)
    found = fit_mixture(labels.astype(np.float32), expit(logits), scores)
    assert found.network == pytest.approx(0.3, abs=0.05)
    assert found.kernel == pytest.approx(2.0, abs=0.1)
    np.testing.assert_allclose(found.shifts, shifts, atol=0.1)


def test_what_misleads_is_left_out():
    random = np.random.default_rng(0)
    logits, scores = random.normal(size=(2, 2_000, 3))
    labels = random.random(logits.shape) < expit(logits - scores)
    assert fit_mixture(labels.astype(np.float32), expit(logits), scores).kernel == 0.0


def test_the_network_predicts_what_the_mixture_makes_of_both():
    network = build_model(TrainerConfig.model_validate(_FIELDS), 5).network
    extractor, _ = split_at_features(network)
    features = extractor.predict(IMAGES, verbose=0)
    kernel = fit_kernel(features, LABELS, TrainerConfig.model_validate(_FIELDS).kernel)
    mixture = Mixture(0.4, 3.0, np.linspace(-1.0, 1.0, 5))
    expected = mixture.apply(network.predict(IMAGES, verbose=0), kernel.scores(features))
    joined = with_kernel(network, kernel, mixture)
    np.testing.assert_allclose(joined.predict(IMAGES, verbose=0), expected, atol=1e-5)

    again, head = split_at_features(joined)
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), features)
    np.testing.assert_allclose(head.predict(features, verbose=0), expected, atol=1e-5)

    other = build_model(TrainerConfig.model_validate({**_FIELDS, "seed": 9}), 5).network
    other = with_empty_kernel(other, json.loads(json.dumps(describe(kernel, mixture))))
    other.set_weights(joined.get_weights())
    np.testing.assert_allclose(other.predict(IMAGES, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("refit", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_served_model_has_the_kernel(covers, schema, tmp_path, refit):
    fields = {**_FIELDS, "calibration": "platt", "refit": refit}
    config = TrainerConfig.model_validate(fields)
    run_fn(covers.fn_args(config, tmp_path / "model", tmp_path / "model_run"))
    history = json.loads((tmp_path / "model_run" / signatures.HISTORY_FILE).read_text())
    known = len(covers.labels["train"]) + refit * len(covers.labels["eval"])
    assert history["kernel"]["centres"] == known
    assert history["kernel"]["components"] == 20
    for split, source in (("train", "train"), ("eval", "eval"), ("test", "eval")):
        shutil.copytree(covers.root / f"Split-{source}", tmp_path / f"Split-{split}")
    diagnosis = examine_training(tmp_path / "model_run", tmp_path / "model", tmp_path, schema)

    served = tf.saved_model.load(str(tmp_path / "model")).signatures
    encoded = tf.constant(covers.encoded["eval"])
    answer = served[signatures.SERVING_SIGNATURE](image_bytes=encoded)
    decided = answer[signatures.DECISIONS].numpy().sum(axis=1).mean()
    assert f"{decided:.2f} genres per cover" in diagnosis.measured[2]
    kept = read_cover_embeddings(tmp_path / "model_run")
    embedded = served[signatures.EMBEDDINGS_SIGNATURE](image_bytes=encoded)
    assert kept is not None
    assert kept.embeddings.shape == (known, embedded[signatures.EMBEDDINGS].shape[1])
    assert np.ptp(kept.embeddings[:, -5:], axis=0).min() > 0  # the scores


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"augmentation": [{"RandomFlip": {"mode": "horizontal"}}]}, "augmentation"),
        ({"backbone": {"name": "EfficientNetLite0", "fine_tune": "none"}}, "features: maps"),
        (
            {"backbone": {"name": "EfficientNetLite0", "features": "stages"}},
            "layers that train on images",
        ),
        ({"backbone": None, "layers": ["Flatten"]}, "layers that train on images"),
    ],
)
def test_a_kernel_is_for_vectors_of_frozen_backbones(changes, received):
    with pytest.raises(ConfigError, match=rf"(?s)kernel.*Received: {received}"):
        TrainerConfig.from_fields({**_FIELDS, **changes})
