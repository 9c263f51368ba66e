"""Whether probabilities can be taken at their word. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.contracts.diagnosis import Finding
from components.contracts.genre_names import listing

_BINS = 10
_LARGEST_ERROR = 0.05
_SIMULATIONS = 400
_CHANCE = 0.99  # quantile of the error that covers drawn by the probabilities themselves have
_SEED = 0


def check_calibration(
    genres: Sequence[str], labels: np.ndarray, probabilities: np.ndarray
) -> list[Finding]:
    """Finds genres whose probabilities differ from how often the genre is true, beyond chance.

    Few covers have a large error even if every probability is right, so each genre is compared
    with labels drawn by its own probabilities.

    Args:
        genres: genre names in the order of the columns.
        labels: shape (covers, genres), 0 or 1.
        probabilities: float, shape (covers, genres).
    """
    if not len(labels) or not np.isfinite(probabilities).all():
        return []
    random = np.random.default_rng(_SEED)
    named, words = [], []
    numbers: dict[str, float] = {}
    for genre, label, probability in zip(genres, labels.T, probabilities.T, strict=True):
        error = _error(label[None], probability)[0]
        drawn = random.random((_SIMULATIONS, len(probability))) < probability
        bound = float(np.quantile(_error(drawn, probability), _CHANCE))
        if error < _LARGEST_ERROR or error <= bound:
            continue
        named.append(genre)
        numbers |= {f"error_{genre}": error, f"explained_by_chance_{genre}": bound}
        words.append(
            f"{genre} by {error:.3f} (chance explains {bound:.3f}; {probability.mean():.0%} "
            f"expected, {label.mean():.0%} true)"
        )
    if not named:
        return []
    return [
        Finding(
            "miscalibrated",
            "warning",
            f"On {len(labels):,} covers, probabilities of {listing(named)} cannot be taken at "
            f"their word; on average they are off: {'; '.join(words)}. Who reads them as chances, "
            "or sets own thresholds, is misled; the ranking and the tuned decisions are not.",
            "Calibrate the model (trainer.calibration: platt), stop where the "
            "loss is least (trainer.early_stopping: {monitor: val_loss}), or smooth the labels "
            "(trainer.loss: {BinaryCrossentropy: {label_smoothing: 0.1}}). "
            "Focal loss and class_weights: balanced cause this; leave them out if chances matter.",
            numbers,
        )
    ]


def _error(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Returns the expected calibration error of each row of labels, (n, covers) to (n,)."""
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    in_bin = bins[:, None] == np.arange(_BINS)
    gaps = (labels - probability) @ in_bin
    return np.asarray(np.abs(gaps).sum(axis=1) / len(probability))
