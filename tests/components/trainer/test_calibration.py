"""Calibrated probabilities are as high as covers are frequent, and are what is served."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from components.contracts import signatures
from components.trainer.calibration import calibration_errors, cross_fitted, fit_calibration
from components.trainer.run import run_fn
from tests.components.trainer.test_run import fn_args, history

_COVERS = 4_000


def overconfident(scales: list[float], shifts: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn by true probabilities, and what a network says whose logits are distorted."""
    random = np.random.default_rng(0)
    logits = random.normal(-1.0, 1.0, (_COVERS, len(scales)))
    labels = (random.random(logits.shape) < expit(logits)).astype(np.float32)
    return labels, expit(logits * scales + shifts).astype(np.float32)


def test_platt_undoes_what_distorts_each_genre():
    labels, probabilities = overconfident([3.0, 0.5], [1.0, -0.5])
    assert min(calibration_errors(labels, probabilities)) > 0.05
    calibration = fit_calibration("platt", labels, probabilities)
    np.testing.assert_allclose(calibration.scales, [1 / 3, 2.0], rtol=0.1)
    np.testing.assert_allclose(calibration.shifts, [-1 / 3, 1.0], atol=0.15)
    assert max(calibration_errors(labels, calibration.apply(probabilities))) < 0.02
    assert max(calibration_errors(labels, cross_fitted("platt", labels, probabilities))) < 0.02


def test_temperature_is_one_scale_for_all_genres():
    labels, probabilities = overconfident([2.0, 2.0], [0.0, 0.0])
    calibration = fit_calibration("temperature", labels, probabilities)
    np.testing.assert_allclose(calibration.scales, [0.5, 0.5], rtol=0.05)
    assert calibration.shifts.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("given", [0.0, 1.0])
def test_a_genre_of_all_covers_or_of_none_stays_finite(given):
    labels = np.full((10, 1), given, np.float32)
    probabilities = np.linspace(0.0, 1.0, 10, dtype=np.float32)[:, None]
    for method in ("temperature", "platt"):
        calibrated = fit_calibration(method, labels, probabilities).apply(probabilities)
        assert np.isfinite(calibrated).all()
    assert np.isfinite(cross_fitted("platt", labels[:1], probabilities[:1])).all()


def test_none_changes_nothing():
    labels, probabilities = overconfident([2.0], [0.0])
    calibrated = fit_calibration("none", labels, probabilities).apply(probabilities)
    np.testing.assert_allclose(calibrated, probabilities, atol=1e-6)


def test_a_network_gives_what_the_calibration_gives():
    random = np.random.default_rng(0)
    features = keras.Input((6,))
    network = keras.Model(features, keras.layers.Dense(3, activation="sigmoid")(features))
    inputs = random.normal(size=(50, 6)).astype(np.float32)
    labels = (random.random((50, 3)) < 0.4).astype(np.float32)
    before = network.predict(inputs, verbose=0)
    calibration = fit_calibration("platt", labels, before)
    calibration.fold_into(network)
    np.testing.assert_allclose(
        network.predict(inputs, verbose=0), calibration.apply(before), atol=1e-6
    )


def test_the_exported_model_is_calibrated_and_the_history_says_so(
    covers, schema, small_config, tmp_path
):
    answers = {}
    for method in ("none", "platt"):
        config = small_config.model_copy(update={"calibration": method})
        run_fn(fn_args(covers, config, tmp_path / method))
        folder = str(tmp_path / method / "Format-Serving")
        serve = tf.saved_model.load(folder).signatures[signatures.SERVING_SIGNATURE]
        encoded = tf.constant(covers.encoded["eval"])
        answers[method] = serve(image_bytes=encoded)[signatures.PROBABILITIES].numpy()
    assert "calibration" not in history(tmp_path / "none")
    recorded = history(tmp_path / "platt")["calibration"]
    assert recorded["method"] == "platt"
    assert list(recorded["error_after"]) == list(schema.genres)
    labels = covers.labels["eval"]
    expected = fit_calibration("platt", labels, answers["none"]).apply(answers["none"])
    np.testing.assert_allclose(answers["platt"], expected, atol=1e-4)
    errors = calibration_errors(labels, answers["none"])
    np.testing.assert_allclose(list(recorded["error_before"].values()), errors, atol=1e-4)
