"""Calibration: probabilities as high as covers of the genre are frequent, fitted on the eval split.

A scale and a shift of the logits are part of the output layer's own weights, so that a calibrated
network has the same layers, and is served and converted, like any other.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from components.contracts.metrics import calibration_error
from components.contracts.scores import Scores, Table
from components.contracts.signatures import HISTORY_FILE
from components.trainer.config import CalibrationMethod

_NEVER_CERTAIN = 1e-6
_PARTS = 5


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How a network's logits become calibrated ones: `scales * logits + shifts`.

    Attributes:
        scales: float64, shape (genres,), above zero: the order of covers stays.
        shifts: float64, shape (genres,).
    """

    scales: np.ndarray
    shifts: np.ndarray

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Maps probabilities (examples, genres) to calibrated ones, float32."""
        return expit(self.scales * _logits(probabilities) + self.shifts).astype(np.float32)

    def fold_into(self, network: keras.Model) -> None:
        """Changes the weights of the output layer so that its outputs are calibrated."""
        output = network.layers[-1]
        kernel, bias = output.get_weights()
        output.set_weights([kernel * self.scales, bias * self.scales + self.shifts])


def fit_calibration(
    method: CalibrationMethod, labels: np.ndarray, probabilities: np.ndarray
) -> Calibration:
    """Fits a calibration by maximum likelihood.

    Args:
        method: `none`; `temperature`, one scale for all genres (Guo et al., "On Calibration of
            Modern Neural Networks", 2017); or `platt`, a scale and a shift per genre (Platt,
            "Probabilistic Outputs for Support Vector Machines", 1999).
        labels: float32, shape (examples, genres), 0 or 1.
        probabilities: float32, shape (examples, genres), of a network that was not trained on them.
    """
    genres = labels.shape[1]
    calibration = Calibration(np.ones(genres), np.zeros(genres))
    if method == "none":
        return calibration
    logits = _logits(probabilities)
    if method == "temperature":
        scale, _ = _fit(labels, logits, shifted=False)
        return Calibration(np.full(genres, scale), np.zeros(genres))
    columns = [_fit(_softened(y), z, shifted=True) for y, z in zip(labels.T, logits.T, strict=True)]
    return Calibration(*np.array(columns).T)


def cross_fitted(
    method: CalibrationMethod, labels: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """Returns each example's probabilities as calibrated on the others, a fifth at a time.

    What they are worth says what the calibration is worth on covers that it was not fitted on.
    A single example stays as it is.
    """
    if len(labels) == 1:
        return probabilities
    calibrated = np.empty_like(probabilities)
    parts = np.arange(len(labels)) % _PARTS
    for part in np.unique(parts):
        left_out = parts == part
        calibration = fit_calibration(method, labels[~left_out], probabilities[~left_out])
        calibrated[left_out] = calibration.apply(probabilities[left_out])
    return calibrated


def record_calibration(
    folder: Path,
    method: CalibrationMethod,
    genres: Sequence[str],
    labels: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
) -> None:
    """Adds `calibration` to `history.json`: the method, and errors by genre before and after it.

    Args:
        folder: holds `history.json`.
        method: how the probabilities were calibrated.
        genres: genre names.
        labels: shape (examples, genres), 0 or 1.
        before: probabilities, of the same shape.
        after: calibrated ones; see `cross_fitted`.
    """
    path = folder / HISTORY_FILE
    history = json.loads(path.read_text(encoding="utf-8"))
    errors = {"error_before": before, "error_after": after}
    history["calibration"] = {
        "method": method,
        **{
            name: dict(zip(genres, calibration_errors(labels, each), strict=True))
            for name, each in errors.items()
        },
    }
    path.write_text(json.dumps(history, indent=2) + "\n", encoding="utf-8")


def calibration_errors(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Returns the expected calibration error of each genre; see `calibration_error`."""
    table = Table.of(labels, probabilities, probabilities)
    scores = Scores(table, np.ones((1, len(labels))))
    return [float(error) for error in calibration_error(scores)[0]]


def _fit(targets: np.ndarray, logits: np.ndarray, shifted: bool) -> tuple[float, float]:
    """Returns scale and shift with the least cross-entropy."""

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scale = np.exp(parameters[0])
        outputs = scale * logits + (parameters[1] if shifted else 0.0)
        errors = expit(outputs) - targets
        entropy = np.mean(np.logaddexp(0.0, outputs) - targets * outputs)
        gradient = np.array([np.mean(errors * scale * logits), np.mean(errors) if shifted else 0.0])
        return float(entropy), gradient

    scale, shift = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B").x
    return float(np.exp(scale)), float(shift)


def _softened(labels: np.ndarray) -> np.ndarray:
    """Returns Platt's targets, half a pseudo-count from 0 and 1: few covers prove nothing certain.

    A genre that all covers or none of them have keeps a finite shift.
    """
    positives = labels.sum()
    given, absent = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
    return np.where(labels > 0.5, given, absent)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities.astype(np.float64), _NEVER_CERTAIN, 1.0 - _NEVER_CERTAIN)
    return logit(clipped)
