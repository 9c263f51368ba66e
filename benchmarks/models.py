"""Examples to a model, and a model to test metrics, for benchmarks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from examples import patterns, schema_file
from sklearn import metrics as sk
from tfx.components.trainer.fn_args_utils import FnArgs

from components.contracts.files import COMPRESSED_SUFFIX, serving_model
from components.contracts.label_schema import EVAL_SPLIT, LABEL, TRAIN_SPLIT
from components.contracts.signatures import DECISIONS, EXAMPLES_SIGNATURE, PROBABILITIES
from components.trainer.run import run_fn
from pipeline.config import PipelineConfig
from pipeline.runner.training_options import training_options


def train(
    ingested: Path, config: PipelineConfig, folder: Path, features: Path | None = None
) -> Path:
    """Trains as TFX's Trainer does, checkpoints included, and returns the SavedModel's folder.

    Args:
        ingested: what `ingest_covers` wrote.
        config: names the trainer's options.
        folder: receives the model, its history and its checkpoints.
        features: where features of frozen backbones are kept; None keeps none.
    """
    model = serving_model(folder)
    run_fn(
        FnArgs(
            train_files=patterns(ingested, TRAIN_SPLIT),
            eval_files=patterns(ingested, EVAL_SPLIT),
            schema_path=str(schema_file(ingested)),
            serving_model_dir=str(model),
            model_run_dir=str(folder / "model_run"),
            custom_config=training_options(
                config, str(folder / "checkpoints"), str(features or "")
            ),
        )
    )
    return model


def predict(test_files: list[str], model: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns labels, probabilities and decisions, each (covers, genres), in batches of 32.

    Args:
        test_files: file patterns of the test split.
        model: a SavedModel of this project.
    """
    signature = tf.saved_model.load(str(model)).signatures[EXAMPLES_SIGNATURE]
    files = sorted(file for pattern in test_files for file in tf.io.gfile.glob(pattern))
    zipped = any(file.endswith(COMPRESSED_SUFFIX) for file in files)
    records = tf.data.TFRecordDataset(files, compression_type="GZIP" if zipped else None)
    spec = {LABEL: tf.io.RaggedFeature(tf.float32)}
    labels, probabilities, decisions = [], [], []
    for batch in records.batch(32):
        labels.append(tf.io.parse_example(batch, spec)[LABEL].to_tensor().numpy())
        outputs: dict[str, Any] = signature(examples=batch)
        probabilities.append(outputs[PROBABILITIES].numpy())
        decisions.append(outputs[DECISIONS].numpy())
    return np.concatenate(labels), np.concatenate(probabilities), np.concatenate(decisions)


def score(y: np.ndarray, p: np.ndarray, d: np.ndarray) -> dict[str, float]:
    """Evaluates labels, probabilities and decisions without TFMA, by scikit-learn.

    Returns:
        Macro-averaged metrics and, as `genres_per_cover`, the mean number of genres decided.
    """
    values = {
        "roc_auc": sk.roc_auc_score(y, p, average="macro"),
        "average_precision": sk.average_precision_score(y, p, average="macro"),
        "f1": sk.f1_score(y, d, average="macro", zero_division=0),
        "hamming_loss": sk.hamming_loss(y, d),
        "exact_match_ratio": sk.accuracy_score(y, d),
        "genres_per_cover": d.sum(axis=1).mean(),
    }
    return {name: float(value) for name, value in values.items()}


def predict_and_score(test_files: list[str], model: Path) -> dict[str, float]:
    """Evaluates a SavedModel of this project on the test split; see `predict` and `score`."""
    return score(*predict(test_files, model))
