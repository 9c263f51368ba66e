"""How much of a result is the seed's: heads on kept features that differ in nothing else.

They are smaller than the network's own head, so that several take seconds. No TensorFlow.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

from components.contracts.diagnosis import Finding

SEEDS = 5
_UNITS = 64
_EPOCHS = 15
_BATCH = 32
_PENALTY = 1.0  # L2, per weight
_UNSTABLE = 0.01  # of macro ROC AUC
_FEWEST_COVERS = 50


def areas_by_seed(
    known: np.ndarray, labels: np.ndarray, asked: np.ndarray, truth: np.ndarray
) -> np.ndarray | None:
    """Fits heads with one hidden layer, alike but for their seeds.

    Args:
        known: features of the covers to fit to, shape (covers, n), of mean 0 and scale 1.
        labels: of these, shape (covers, genres), 0 or 1.
        asked: features of the covers to rank.
        truth: labels of these.

    Returns:
        The macro ROC AUC of each head, shape (SEEDS,); None for too few covers, or if no genre can
        be ranked.
    """
    ranked = [place for place, label in enumerate(truth.T) if 0 < label.sum() < len(label)]
    fitted = [place for place in ranked if 0 < labels[:, place].sum() < len(labels)]
    if min(len(known), len(asked)) < _FEWEST_COVERS or not fitted:
        return None
    areas = []
    for seed in range(SEEDS):
        head = MLPClassifier(
            (_UNITS,),
            alpha=_PENALTY,
            batch_size=min(_BATCH, len(known)),
            max_iter=_EPOCHS,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the end is the same for all
            head.fit(known, labels[:, fitted].astype(int).squeeze())
        scores = head.predict_proba(asked)
        if len(fitted) == 1:
            scores = scores[:, -1:]
        areas.append(
            np.mean(
                [
                    roc_auc_score(truth[:, place], scores[:, column])
                    for column, place in enumerate(fitted)
                ]
            )
        )
    return np.array(areas)


def check_seeds(areas: np.ndarray | None, covers: int) -> list[Finding]:
    """Finds that another seed would change the result by more than what is worth a change.

    Args:
        areas: of `areas_by_seed`.
        covers: on which they were measured.
    """
    if areas is None:
        return []
    deviation = float(np.std(areas, ddof=1))
    # Two runs with one seed each differ by this much, in the mean square.
    change = float(np.sqrt(2.0) * deviation)
    if change < _UNSTABLE:
        return []
    return [
        Finding(
            "unstable_seed",
            "warning",
            f"{len(areas)} heads that differ only in their seed reach macro ROC AUC "
            f"{areas.min():.3f} to {areas.max():.3f} on the {covers:,} eval covers: another seed "
            f"would change it by about \N{PLUS-MINUS SIGN}{change:.3f}.",
            "Do not take a difference of that size between two runs for progress: compare means "
            "over several seeds (trainer.seed). More covers, more Dropout and a lower learning "
            "rate make training steadier.",
            {
                "seeds": len(areas),
                "least": float(areas.min()),
                "most": float(areas.max()),
                "standard_deviation": deviation,
                "change": change,
            },
        )
    ]


def standardized(features: Sequence[np.ndarray], components: np.ndarray) -> list[np.ndarray]:
    """Splits components of all covers as their features are split, each scaled as the first."""
    ends = np.cumsum([len(each) for each in features])[:-1]
    parts = np.split(components, ends)
    mean, scale = parts[0].mean(axis=0), parts[0].std(axis=0).max() + 1e-9
    return [(part - mean) / scale for part in parts]
