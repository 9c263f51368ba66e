"""Ridge regression on kept features: out-of-fold predictions and a learning curve. No TensorFlow.

A linear head is fitted in closed form, so that many fits take seconds. It is a little weaker than
the network's own head and ranks covers alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from components.contracts.diagnosis import Finding
from components.contracts.genre_names import listing

SHARES = (0.25, 0.5, 1.0)
_FOLDS = 5
_COMPONENTS = 256
_PENALTIES = tuple(10.0**power for power in range(-3, 3))
_FEWEST_COVERS = 200
_SEED = 0
_WORTHWHILE = 0.01  # of ROC AUC, for twice the covers
_SLOWEST, _FASTEST = 0.4, 0.9  # ratio of one doubling's gain to that of the doubling before


@dataclasses.dataclass(frozen=True)
class CrossFit:
    """What linear heads predict for covers that they were not fitted to.

    Attributes:
        probabilities: float64, shape (covers, genres).
        areas: share of the covers -> ROC AUC of each genre, NaN where it is undefined.
        covers: to which the heads of the whole share were fitted.
        components: of the covers' features, float64, shape (covers, n).
    """

    probabilities: np.ndarray
    areas: dict[float, np.ndarray]
    covers: int
    components: np.ndarray


def cross_fit(features: np.ndarray, labels: np.ndarray, groups: Sequence[str]) -> CrossFit | None:
    """Fits heads to parts of the covers and asks each about the others.

    Args:
        features: float, shape (covers, ...).
        labels: shape (covers, genres), 0 or 1.
        groups: near-duplicate group of each cover; none is in two folds.

    Returns:
        None for too few covers to learn from.
    """
    if len(labels) < _FEWEST_COVERS:
        return None
    random = np.random.default_rng(_SEED)
    fold = grouped_folds(groups, _FOLDS, random)
    order = random.permutation(len(labels))
    components = _reduced(features)
    whole = np.zeros((len(_PENALTIES), *labels.shape))
    found: dict[float, list[np.ndarray]] = {share: [] for share in SHARES}
    for number in range(_FOLDS):
        asked = fold == number
        known = order[~asked[order]]
        for share in SHARES:
            parts = round(1 / share)
            for part in range(parts):  # Each cover is in one part: their mean has less noise.
                fitted = known[part::parts]
                scores = _ridge(components[fitted], labels[fitted], components[asked])
                found[share].append(np.stack([_areas(labels[asked], each) for each in scores]))
                if share == SHARES[-1]:
                    whole[:, asked] = scores
    areas = {}
    for share, each in found.items():
        mean = _mean(np.stack(each, axis=-1))
        best = int(np.nan_to_num(_mean(mean)).argmax())
        areas[share] = mean[best]
    covers = round(len(labels) * (1 - 1 / _FOLDS))
    return CrossFit(_calibrated(whole[best], labels), areas, covers, components)


def grouped_folds(groups: Sequence[str], folds: int, random: np.random.Generator) -> np.ndarray:
    """Returns each cover's fold, int64 from 0 to `folds` - 1; covers of a group share theirs.

    Args:
        groups: near-duplicate group of each cover.
        folds: how many; with fewer groups, some folds are empty.
        random: draws them.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    return random.permutation(len(names))[group] % folds


def check_learning_curve(genres: Sequence[str], fit: CrossFit) -> list[Finding]:
    """Finds that more covers would help: the learning curve still rises at its end.

    The gain of each doubling is taken to shrink by the same factor, as it does for a power law.
    """
    quarter, half, full = (float(_mean(fit.areas[share])) for share in SHARES)
    gain = _next_gain([quarter, half, full])
    if gain < _WORTHWHILE:
        return []
    gains = {
        genre: _next_gain([float(fit.areas[share][place]) for share in SHARES])
        for place, genre in enumerate(genres)
    }
    most = sorted((genre for genre in genres if gains[genre] >= _WORTHWHILE), key=gains.get)[::-1]  # type: ignore[arg-type]
    each = ", ".join(f"{genre} +{gains[genre]:.3f}" for genre in most)
    return [
        Finding(
            "too_little_data",
            "warning",
            f"More covers would help: heads fitted to {fit.covers // 4:,}, {fit.covers // 2:,} and "
            f"{fit.covers:,} covers reach macro ROC AUC {quarter:.3f}, {half:.3f} and {full:.3f} "
            f"on others. Twice the covers would bring about +{gain:.3f}"
            + (f" ({each})." if each else "."),
            "Collect more covers" + (f", first of {listing(most[:3])}." if most else "."),
            {
                "roc_auc_quarter": quarter,
                "roc_auc_half": half,
                "roc_auc_all": full,
                "gain": gain,
                **{f"gain_{genre}": gains[genre] for genre in most},
            },
        )
    ]


def _mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean of the known values along the last axis, NaN where none is known."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.where(known.any(axis=-1), total / np.maximum(known.sum(axis=-1), 1), np.nan)


def _next_gain(areas: Sequence[float]) -> float:
    """Returns what one more doubling brings, of values at a quarter, a half and the whole."""
    first, second = areas[1] - areas[0], areas[2] - areas[1]
    if not (first > 0 and second > 0):
        return 0.0
    return second * min(max(second / first, _SLOWEST), _FASTEST)


def _reduced(features: np.ndarray) -> np.ndarray:
    flat = np.asarray(features, np.float32)
    if flat.ndim > 2:
        flat = flat.mean(axis=tuple(range(1, flat.ndim - 1)))
    scaled = (flat - flat.mean(axis=0)) / (flat.std(axis=0) + 1e-6)
    count = min(_COMPONENTS, *scaled.shape)
    solver = "randomized" if count < min(scaled.shape) else "full"
    components = PCA(count, svd_solver=solver, random_state=_SEED).fit_transform(scaled)
    return np.asarray(components / components.std(), np.float64)


def _ridge(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Returns scores for each penalty, shape (penalties, asked, genres)."""
    mean = labels.mean(axis=0)
    values, vectors = np.linalg.eigh(known.T @ known / len(known))
    projected = vectors.T @ (known.T @ (labels - mean)) / len(known)
    rotated = asked @ vectors
    return np.stack(
        [mean + rotated @ (projected / (values + penalty)[:, None]) for penalty in _PENALTIES]
    )


def _areas(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.array(
        [
            roc_auc_score(label, score) if 0 < label.mean() < 1 else np.nan
            for label, score in zip(labels.T, scores.T, strict=True)
        ]
    )


def _calibrated(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Turns scores into probabilities by Platt's logistic regression, genre by genre."""
    columns = []
    for score, label in zip(scores.T, labels.T, strict=True):
        if not 0 < label.mean() < 1:
            columns.append(np.full(len(label), label.mean()))
            continue
        scaled = ((score - score.mean()) / (score.std() + 1e-9))[:, None]
        # The default solver warns of an option of its own where SciPy is newer.
        fitted = LogisticRegression(solver="newton-cholesky").fit(scaled, label)
        columns.append(fitted.predict_proba(scaled)[:, 1])
    return np.stack(columns, axis=1)
