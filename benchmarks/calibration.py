"""How far probabilities can be taken at their word, and which calibration is best: nested folds.

    python benchmarks/calibration.py DATA [--config covers] [--features FOLDER] [--seed 1]

ingests DATA and divides train and eval by near-duplicate group. Each fold is predicted by a model
that learnt from the others as `refit` does, for all epochs: mixture and calibration from
out-of-fold predictions among these, then network and kernel fitted to all of them. So every cover
of train and eval is asked as a cover of the test split would be, and their number makes errors
plain that chance hides on fewer. The test split is not read.

Printed for each method and genre:

- the expected calibration error, and what it would be if every probability were right, by labels
  drawn with the probabilities;
- the debiased one (root mean square), likewise;
- the slope of a logistic regression on the logits: below 1 the probabilities are too extreme,
  above 1 too timid.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
from heads import network_of, read_covers
from sklearn.isotonic import IsotonicRegression

from components.contracts.metrics import calibration_error, debiased_calibration_error
from components.contracts.scores import Scores, Table
from components.trainer.calibration import fit_calibration
from components.trainer.diagnostics.cross_fit import grouped_folds
from components.trainer.kernel_head import fit_mixture
from components.trainer.kernel_ridge import fit_kernel
from pipeline.config import load_config

METHODS = ("none", "temperature", "platt", "isotonic")
INNER_FOLDS = 5
DRAWS = 200


def main() -> None:
    """Prints a table per method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a CSV manifest or a folder of covers")
    parser.add_argument("--config", default="covers")
    parser.add_argument("--features", type=Path, help="a folder that keeps the features")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an .npz file that receives the predictions")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    config = load_config(options.config)
    if not (config.trainer.kernel and config.trainer.refit):
        parser.error(f"Expected trainer.kernel and trainer.refit. Received: {options.config}")
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as folder:
        data, labels, named = read_covers(options.data, Path(folder), config, options.features)
        groups = np.array(named)
        trainer = config.trainer.model_copy(update={"seed": options.seed})
        features, predict = network_of(trainer, data)

        def both(known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            network = predict(features[known], labels[known], features[asked])
            kernel = fit_kernel(features[known], labels[known], trainer.kernel)
            return network, kernel.scores(features[asked])

        outer = grouped_folds(groups, options.folds, np.random.default_rng(options.seed))
        answers = {method: np.empty_like(labels) for method in METHODS}
        for fold in np.unique(outer):
            known, asked = np.flatnonzero(outer != fold), np.flatnonzero(outer == fold)
            network, scores = np.empty((2, *labels[known].shape), dtype=np.float32)
            inner = grouped_folds(groups[known], INNER_FOLDS, np.random.default_rng(0))
            for part in np.unique(inner):
                rest, left_out = inner != part, inner == part
                network[left_out], scores[left_out] = both(known[rest], known[left_out])
            mixture = fit_mixture(labels[known], network, scores)
            judged = mixture.apply(network, scores)
            final = mixture.apply(*both(known, asked))
            for method in METHODS:
                answers[method][asked] = _calibrated(method, labels[known], judged, final)
            print(f"fold {fold}: {len(asked)} covers", flush=True)
    if options.keep:
        np.savez(options.keep, labels=labels, folds=outer, **answers)
    for method, answer in answers.items():
        _print_lines(method, data.schema.genres, labels, answer)


def _calibrated(
    method: str, labels: np.ndarray, judged: np.ndarray, final: np.ndarray
) -> np.ndarray:
    """Returns `final`, calibrated by what labels and out-of-fold predictions say."""
    if method != "isotonic":
        return fit_calibration(method, labels, judged).apply(final)
    columns = [
        IsotonicRegression(out_of_bounds="clip").fit(p, y).predict(asked)
        for p, y, asked in zip(judged.T, labels.T, final.T, strict=True)
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _errors(labels: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Returns both calibration errors of each genre, shape (2, genres)."""
    scores = Scores(Table.of(labels, answer, answer), np.ones((1, len(labels))))
    return np.concatenate([calibration_error(scores), debiased_calibration_error(scores)])


def _with_mean(errors: np.ndarray) -> np.ndarray:
    return np.concatenate([errors, errors.mean(axis=1, keepdims=True)], axis=1)


def _print_lines(
    method: str, genres: tuple[str, ...], labels: np.ndarray, answer: np.ndarray
) -> None:
    random = np.random.default_rng(0)
    drawn = [
        _with_mean(_errors((random.random(answer.shape) < answer).astype(np.float32), answer))
        for _ in range(DRAWS)
    ]
    by_chance = np.quantile(drawn, 0.95, axis=0)
    found = _with_mean(_errors(labels, answer))
    slopes = fit_calibration("platt", labels, answer).scales
    lines = {
        "error": found[0],
        "by chance, mean": np.mean(drawn, axis=0)[0],
        "by chance, 95% below": by_chance[0],
        "debiased error": found[1],
        "debiased by chance, 95% below": by_chance[1],
        "slope": [*slopes, np.mean(slopes)],
    }
    print(f"\n| {method} | " + " | ".join(genres) + " | mean |")
    print("|---" * (len(genres) + 2) + "|")
    for name, values in lines.items():
        cells = " | ".join(f"{value:.3f}" for value in values)
        print(f"| {name} | {cells} |")


if __name__ == "__main__":
    main()
