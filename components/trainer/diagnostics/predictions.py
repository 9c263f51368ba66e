"""Checks of what a model predicts against what is true. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from components.contracts.diagnosis import Finding
from components.trainer.thresholds import DecisionRule

_MUTE_SHARE = 0.5
_SMALLEST_SPREAD = 0.02
_CARDINALITY_RATIO = 2.0
_CHANCE = 0.55
_RAREST_SHARE = 0.03
_MOST_IMBALANCED = 5.0


def check_predictions(
    genres: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    rule: DecisionRule,
) -> list[Finding]:
    """Returns what is wrong with a model's predictions of one split.

    Args:
        genres: genre names in the order of the columns.
        labels: shape (examples, genres), 0 or 1.
        probabilities: float, shape (examples, genres).
        rule: how probabilities become decisions.
    """
    findings = check_ranking(labels, probabilities)
    mute = check_mute(labels, probabilities, rule)
    decisions = rule.decide(probabilities)
    if mute:
        return [*findings, *mute]
    return [
        *findings,
        *_check_cardinality(labels, decisions),
        *_check_constant_genres(genres, labels, decisions),
    ]


def check_mute(labels: np.ndarray, probabilities: np.ndarray, rule: DecisionRule) -> list[Finding]:
    """Finds predictions without any genre, and the constants that metrics then equal."""
    decisions, threshold = rule.decide(probabilities), float(rule.thresholds.min())
    mute = float(1.0 - decisions.any(axis=1).mean())
    if mute < _MUTE_SHARE:
        return []
    density = float(labels.mean())
    highest = float(probabilities.max())
    numbers = {
        "no_genre_share": mute,
        "highest_probability": highest,
        "mean_probability": float(probabilities.mean()),
        "lowest_threshold": threshold,
        "label_density": density,
    }
    findings = [
        Finding(
            "all_zero_predictions",
            "warning",
            f"For {_percent(mute)} of {len(labels):,} covers no genre is decided: the highest "
            f"probability is {highest:.2f}, the threshold {threshold:.2f}. Only "
            f"{_percent(density)} of the labels are true, and the probabilities stay close to "
            "that.",
            "Tune the decision thresholds: trainer.decision_thresholds: "
            "label_share (or best_f1). Watch macro_roc_auc and macro_average_precision, which need "
            "no threshold.",
            numbers,
        )
    ]
    wrong = float((decisions.astype(bool) != labels.astype(bool)).mean())
    exact = float((decisions.astype(bool) == labels.astype(bool)).all(axis=1).mean())
    if mute >= 0.99:
        findings.append(
            Finding(
                "metrics_equal_the_label_density",
                "warning",
                "With no genre decided, threshold metrics say nothing about the network: Hamming "
                f"loss is just the label density ({wrong:.4f}). A 'subset accuracy' averaged over "
                f"labels is 1 - Hamming loss ({1 - wrong:.4f}), whatever is predicted; true subset "
                f"accuracy, the exact match ratio, is {exact:.3f}.",
                "Use exact_match_ratio for subset accuracy, and watch macro_roc_auc until genres "
                "are decided.",
                {
                    "hamming_loss": wrong,
                    "labelwise_accuracy": 1.0 - wrong,
                    "exact_match_ratio": exact,
                    "label_density": density,
                },
            )
        )
    return findings


def check_ranking(labels: np.ndarray, probabilities: np.ndarray) -> list[Finding]:
    """Finds probabilities that do not depend on the cover, or not on its genre."""
    low, high = np.percentile(probabilities, [1.0, 99.0], axis=0)
    spread = float((high - low).max())
    areas = [roc_auc_score(*pair) for pair in _ranked(labels, probabilities)]
    area = float(np.mean(areas)) if areas else None
    ranking = {} if area is None else {"macro_roc_auc": area}
    if spread < _SMALLEST_SPREAD:
        return [
            Finding(
                "constant_predictions",
                "warning",
                "The network gives every cover nearly the same probabilities: for no genre do the "
                f"middle 98% differ by more than {spread:.4f}"
                + ("." if area is None else f" (ROC AUC {area:.3f})."),
                "Lower the learning rate, normalise (BatchNormalization after each convolution) or "
                "start from a backbone: the units are dead, or the network has learnt only the "
                "label prior.",
                {"spread": spread, **ranking},
            )
        ]
    if area is not None and area < _CHANCE:
        return [
            Finding(
                "hardly_better_than_chance",
                "warning",
                f"Macro ROC AUC is {area:.3f}, where chance is 0.500: the network ranks covers "
                "hardly better than a coin toss.",
                "Train longer, with an augmentation that keeps covers upright and whole, or start "
                "from ImageNet-pretrained networks: --config covers.",
                ranking,
            )
        ]
    return []


def describe_ranking(genres: Sequence[str], labels: np.ndarray, probabilities: np.ndarray) -> str:
    """Says how well probabilities rank covers, and for which genres that is unknown."""
    pairs = list(_ranked(labels, probabilities))
    constant = [
        f"{genre} (true of {'every' if column.any() else 'no'} cover)"
        for genre, column in zip(genres, labels.T, strict=True)
        if not 0 < column.mean() < 1
    ]
    if not pairs:
        return (
            "no ROC AUC and no average precision, which need covers both with a genre and without "
            f"it: {', '.join(constant)}"
        )
    area = np.mean([roc_auc_score(*pair) for pair in pairs])
    precision = np.mean([average_precision_score(*pair) for pair in pairs])
    chance = np.mean([label.mean() for label, _ in pairs])
    return (
        f"macro ROC AUC {area:.3f} (chance 0.500), macro average precision {precision:.3f} "
        f"(chance {chance:.3f})"
        + (f"; without {', '.join(constant)}, which cannot be ranked" if constant else "")
    )


def _ranked(
    labels: np.ndarray, probabilities: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields label and probability of the genres that some covers have and some have not."""
    for label, probability in zip(labels.T, probabilities.T, strict=True):
        if 0 < label.mean() < 1:
            yield label, probability


def check_class_imbalance(genres: Sequence[str], labels: np.ndarray) -> list[Finding]:
    """Finds genres that are much rarer than others, or too rare to learn from."""
    shares = labels.mean(axis=0)
    rarest, commonest = int(shares.argmin()), int(shares.argmax())
    low, high = float(shares[rarest]), float(shares[commonest])
    if low >= _RAREST_SHARE and high <= _MOST_IMBALANCED * low:
        return []
    return [
        Finding(
            "class_imbalance",
            "warning",
            f"{_percent(low)} of the covers are {genres[rarest]}, {_percent(high)} are "
            f"{genres[commonest]}: the loss hardly notices the rarer genre.",
            "Weight the genres (trainer.class_weights: balanced), or add more covers of "
            f"{genres[rarest]}.",
            {"lowest_share": low, "highest_share": high},
        )
    ]


def _check_cardinality(labels: np.ndarray, decisions: np.ndarray) -> list[Finding]:
    true, predicted = float(labels.sum(axis=1).mean()), float(decisions.sum(axis=1).mean())
    if true / _CARDINALITY_RATIO <= predicted <= true * _CARDINALITY_RATIO:
        return []
    return [
        Finding(
            "label_cardinality",
            "warning",
            f"On average {predicted:.2f} genres are decided per cover, and {true:.2f} are true.",
            "Tune the thresholds so that genres are decided as often as they are true: "
            "trainer.decision_thresholds: label_share.",
            {"predicted": predicted, "true": true},
        )
    ]


def _check_constant_genres(
    genres: Sequence[str], labels: np.ndarray, decisions: np.ndarray
) -> list[Finding]:
    findings = []
    for genre, column, decided in zip(genres, labels.T, decisions.T, strict=True):
        share = float(decided.mean())
        if 0 < share < 1 or not 0 < column.mean() < 1:
            continue
        findings.append(
            Finding(
                "constant_genre",
                "warning",
                f"{genre} is decided for {'every' if share else 'no'} cover; it is true of "
                f"{_percent(float(column.mean()))}.",
                "Tune its threshold: trainer.decision_thresholds: label_share.",
                {"decided_share": share, "true_share": float(column.mean())},
            )
        )
    return findings


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
