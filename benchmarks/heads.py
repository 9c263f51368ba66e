"""Which layers after frozen backbones learn most: grouped cross-validation on train and eval.

    python benchmarks/heads.py DATA [--features FOLDER] [--seeds 1]

ingests DATA, computes the features of its train and eval splits once (FOLDER keeps them for the
next time) and prints the macro ROC AUC and average precision of several heads: means over five
folds, drawn by near-duplicate group, with the standard error of the first. The test split is not
read. The last lines are a kernel on the features of the last head, and both together, as
`trainer.kernel` joins them. --heads names those to try by a part of their names.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from examples import ingest_covers, patterns, schema_file
from sklearn.metrics import average_precision_score, roc_auc_score

from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT, LabelSchema
from components.trainer.config import KernelRidge, TrainerConfig
from components.trainer.dataset import label_prior, read_split
from components.trainer.features import open_feature_store
from components.trainer.head import split_at_features
from components.trainer.identities import identities
from components.trainer.kernel_head import fit_mixture
from components.trainer.kernel_ridge import fit_kernel
from components.trainer.model import build_model
from components.trainer.refit import draw_folds, fit_again
from components.trainer.training import TrainingData
from pipeline.config import PipelineConfig, load_config

# Features and labels of the covers to learn from, features of those to predict: probabilities.
Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_NORM = {"BatchNormalization": {"center": False, "scale": False, "momentum": 0.95}}
_LENGTH = {"LayerNormalization": {"center": False, "scale": False}}


def _head(units: int, dropout: float, *norms: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    hidden = {"Dense": {"units": units, "activation": "relu"}}
    return [*norms, {"Dropout": {"rate": dropout}}, hidden, {"Dropout": {"rate": 0.5}}]


def _options(
    features: str, layers: list[Mapping[str, Any]], rate: float, batch: int, epochs: int
) -> dict[str, Any]:
    names = ("EfficientNetLite0", "EfficientNetLite2")
    return {
        "backbone": [{"name": name, "features": features, "fine_tune": "none"} for name in names],
        "layers": layers,
        "optimizer": {"AdamW": {"learning_rate": rate, "weight_decay": 0.05}},
        "batch_size": batch,
        "epochs": epochs,
    }


HEADS = {
    "stages, 512 units, 1e-4, 16 epochs": _options("stages", _head(512, 0.5, _NORM), 1e-4, 32, 16),
    "style, 256 units, 1e-4, 12 epochs": _options("style", _head(256, 0.5, _NORM), 1e-4, 64, 12),
    "the same, vectors of one length, 2e-4": _options(
        "style", _head(256, 0.5, _NORM, _LENGTH), 2e-4, 64, 12
    ),
    "the same, dropout 0.2 of features": _options(
        "style", _head(256, 0.2, _NORM, _LENGTH), 2e-4, 64, 12
    ),
    "layout, otherwise the same": _options("layout", _head(256, 0.2, _NORM, _LENGTH), 2e-4, 64, 12),
}


def main() -> None:
    """Prints a line per head."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a CSV manifest or a folder of covers")
    parser.add_argument("--features", type=Path, help="a folder that keeps the features")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--heads", default="", metavar="WORDS", help="a part of their names")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    config = load_config("covers")
    with tempfile.TemporaryDirectory(prefix="covers-benchmark-") as folder:
        data, labels, groups = read_covers(options.data, Path(folder), config, options.features)
        folds = draw_folds(groups)
        print("| head | macro ROC AUC | macro AP |\n|---|---|---|")
        for name, changes in HEADS.items():
            if options.heads not in name:
                continue
            for seed in options.seeds:
                fields = {**config.trainer.model_dump(mode="json"), **changes, "seed": seed}
                features, predict = network_of(TrainerConfig.model_validate(fields), data)
                network = _out_of_fold(features, labels, folds, predict)
                _print_line(name, network, labels, folds)
        kernel = _out_of_fold(features, labels, folds, _kernel)
        _print_line("kernel on the same features", kernel, labels, folds)
        mixture = fit_mixture(labels, network, kernel)
        _print_line("both", mixture.apply(network, kernel), labels, folds)


def read_covers(
    covers: Path, folder: Path, config: PipelineConfig, kept: Path | None
) -> tuple[TrainingData, np.ndarray, list[str]]:
    """Ingests covers; returns those of train and eval, their labels, near-duplicate groups.

    Args:
        covers: a CSV manifest or a folder.
        folder: receives the examples.
        config: says how.
        kept: a folder that keeps features; None for one in `folder`.
    """
    ingest_covers(covers, folder, config.schema_text(), config.ingest)
    schema = LabelSchema.from_file(schema_file(folder))
    splits = [
        read_split(patterns(folder, name), schema, name) for name in (TRAIN_SPLIT, EVAL_SPLIT)
    ]
    store = open_feature_store(str(kept or folder / "kept"), config.trainer)
    labels = np.concatenate([split.labels for split in splits])
    groups = [group for split in splits for group in identities(split)[1]]
    return TrainingData(schema, *splits, None, None, store), labels, groups


def network_of(config: TrainerConfig, data: TrainingData) -> tuple[np.ndarray, Predict]:
    """Returns the features of both splits, and what trains a head on some and predicts others."""
    labels = np.concatenate([data.train.labels, data.evaluation.labels])
    prior = label_prior(labels)
    network = build_model(config, labels.shape[1], prior).network
    extractor, head = split_at_features(network)
    initial = head.get_weights()
    parts = [data.features_of(name, extractor, config) for name in (TRAIN_SPLIT, EVAL_SPLIT)]

    def predict(known: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> np.ndarray:
        fit_again(head, known, truth, (initial, config.epochs), data.schema, config)
        return np.asarray(head.predict(asked, verbose=0))

    return np.concatenate([np.asarray(part) for part in parts]), predict


def _kernel(known: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return fit_kernel(known, truth, KernelRidge()).scores(asked)


def _out_of_fold(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, predict: Predict
) -> np.ndarray:
    predicted = np.empty_like(labels)
    for fold in np.unique(folds):
        known, asked = folds != fold, folds == fold
        predicted[asked] = predict(features[known], labels[known], features[asked])
    return predicted


def _print_line(name: str, predicted: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> None:
    scores = []
    for fold in np.unique(folds):
        asked = folds == fold
        both = np.ptp(labels[asked], axis=0) > 0  # one class cannot be ranked
        scores.append(
            [
                score(labels[asked][:, both], predicted[asked][:, both], average="macro")
                for score in (roc_auc_score, average_precision_score)
            ]
        )
    (area, precision), error = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1)[0]
    error /= len(scores) ** 0.5
    print(f"| {name} | {area:.3f} +- {error:.3f} | {precision:.3f} |", flush=True)


if __name__ == "__main__":
    main()
