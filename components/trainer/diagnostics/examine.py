"""Every check, on a finished training run or on a model and examples."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.contracts.diagnosis import Finding
from components.contracts.files import split_pattern
from components.contracts.label_schema import (
    EVAL_SPLIT,
    TEST_SPLIT,
    TRAIN_SPLIT,
    LabelSchema,
)
from components.contracts.saved_models import load_saved_model
from components.contracts.signatures import (
    CONFIG_FILE,
    HISTORY_FILE,
    IMAGE_BYTES,
    PROBABILITIES,
    SERVING_SIGNATURE,
    WEIGHTS_FILE,
    read_model_description,
)
from components.support.errors import DeploymentError
from components.trainer.config import TrainerConfig
from components.trainer.dataset import (
    START,
    Split,
    eval_dataset,
    label_prior,
    load_images,
    read_split,
    train_dataset,
)
from components.trainer.diagnostics.augmentation import check_geometry, measure_geometry
from components.trainer.diagnostics.calibration import check_calibration
from components.trainer.diagnostics.callback import first_covers
from components.trainer.diagnostics.history import check_fit, check_history
from components.trainer.diagnostics.learning_rate import (
    LearningRateRange,
    check_learning_rate,
    range_test,
)
from components.trainer.diagnostics.network import (
    check_activity,
    check_gradients,
    check_saturation,
    gradient_norms,
    layer_activity,
)
from components.trainer.diagnostics.predictions import (
    check_class_imbalance,
    check_predictions,
    describe_ranking,
)
from components.trainer.head import split_at_features
from components.trainer.kernel_head import with_empty_kernel
from components.trainer.model import (
    build_model,
    compile_model,
    make_augmentation,
    without_pretrained_weights,
)
from components.trainer.optimization import make_loss
from components.trainer.thresholds import DecisionRule

_BATCH = 64
_RANGE_STEPS = 60


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """The result of an examination.

    Attributes:
        measured: what was measured, in sentences; given for any model.
        findings: what is wrong; empty for a healthy model.
        split: whose covers were predicted: eval, or test if eval was trained on, too; empty for
            covers of no split.
    """

    measured: list[str]
    findings: list[Finding]
    split: str = ""


def examine_training(
    model_run: Path, model: Path, examples: Path, schema: LabelSchema, range_steps: int = 0
) -> Diagnosis:
    """Checks a finished training run: its history, labels, augmentation, network and predictions.

    Args:
        model_run: folder with history, configuration and weights.
        model: folder of the exported model.
        examples: folder with `Split-train`, `Split-eval` and `Split-test`.
        schema: names genres and features.
        range_steps: steps of the learning-rate range test; 0 leaves it out.

    Raises:
        DeploymentError: this project did not write the training run or model.
        DataError: the examples cannot be read.
    """
    try:
        config = TrainerConfig.from_json((model_run / CONFIG_FILE).read_text(encoding="utf-8"))
        recorded = json.loads((model_run / HISTORY_FILE).read_text(encoding="utf-8"))
        history = recorded["epochs"]
        kernel = recorded["kernel"] if config.kernel else None
    except (OSError, ValueError, KeyError) as error:
        raise DeploymentError(
            f"Expected {model_run} to hold {CONFIG_FILE} and {HISTORY_FILE} of a training run. "
            f"Received: {type(error).__name__}: {error}. Train again."
        ) from error
    train = read_split([split_pattern(examples, TRAIN_SPLIT)], schema, TRAIN_SPLIT)
    unseen = TEST_SPLIT if config.refit else EVAL_SPLIT
    split = read_split([split_pattern(examples, unseen)], schema, unseen)
    batches = eval_dataset(split, load_images(split, schema, config), schema, config)
    network = build_model(without_pretrained_weights(config), len(schema.genres)).network
    row = network
    if kernel:
        network = with_empty_kernel(network, kernel)  # It shares all layers but the last.
    network.load_weights(model_run / WEIGHTS_FILE)
    if config.trains_on_features:
        (extractor, network), (_, row) = split_at_features(network), split_at_features(row)
        features = tf.constant(extractor.predict(batches, verbose=0))
        batches = eval_dataset(split, features, schema, config)
    probabilities = network.predict(batches, verbose=0)
    rule = _rule(model)
    inputs, labels = first_covers(batches)
    prior = label_prior(train.labels)
    findings = [
        *check_history(history),
        *check_fit(history, config.epochs),
        *check_predictions(schema.genres, split.labels, probabilities, rule),
        *check_calibration(schema.genres, split.labels, probabilities),
        *check_class_imbalance(schema.genres, train.labels),
        *_check_augmentation(config),
        *check_activity(layer_activity(row, inputs)),
        *check_saturation(probabilities),
        *check_gradients(gradient_norms(network, make_loss(config, prior), inputs, labels)),
    ]
    measured = _measured(schema.genres, split.labels, probabilities, rule)
    if range_steps and not config.trains_on_features:
        found = _range_test(config, schema, train, prior, range_steps)
        measured.append(
            f"learning-rate range test: the loss falls fastest at {found.steepest:.1g} and "
            + (
                f"rises from {found.highest:.1g} upwards"
                if np.isfinite(found.highest)
                else "never rises"
            )
            + f"; the configured rate is {found.configured:g}"
        )
        findings += check_learning_rate(found)
    return Diagnosis(measured, findings, unseen)


def examine_model(model: Path, encoded: list[bytes], labels: np.ndarray) -> Diagnosis:
    """Checks an exported model's predictions for labelled covers, without its network.

    Args:
        model: folder of the exported model.
        encoded: the files of the covers.
        labels: float32, shape (covers, genres), in the order of the model's outputs.
    """
    loaded = load_saved_model(model, SERVING_SIGNATURE)
    genres = loaded.description.genres
    parts = [
        loaded.ask(**{IMAGE_BYTES: encoded[start : start + _BATCH]})[PROBABILITIES]
        for start in range(0, len(encoded), _BATCH)
    ]
    probabilities = np.concatenate(parts)
    rule = _rule(model)
    findings = [
        *check_predictions(genres, labels, probabilities, rule),
        *check_calibration(genres, labels, probabilities),
        *check_class_imbalance(genres, labels),
        *check_saturation(probabilities),
    ]
    return Diagnosis(_measured(genres, labels, probabilities, rule), findings)


def _rule(model: Path) -> DecisionRule:
    description = read_model_description(model)
    thresholds = np.array(description.thresholds, np.float32)
    return DecisionRule(thresholds, description.at_least_one_genre)


def _check_augmentation(config: TrainerConfig) -> list[Finding]:
    if not config.augmentation:
        return []
    geometry = measure_geometry(make_augmentation(config), config.image_size)
    return check_geometry(geometry, config.image_size)


def _measured(
    genres: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, rule: DecisionRule
) -> list[str]:
    decisions = rule.decide(probabilities)
    wrong = decisions != labels.astype(bool)
    return [
        f"{len(labels):,} covers, {labels.sum(axis=1).mean():.2f} genres each; label density "
        f"{labels.mean():.4f}",
        f"without thresholds: {describe_ranking(genres, labels, probabilities)}",
        f"decisions: {decisions.sum(axis=1).mean():.2f} genres per cover, none for "
        f"{100 * (~decisions.any(axis=1)).mean():.0f}% of the covers; Hamming loss "
        f"{wrong.mean():.4f}, exact match ratio {(~wrong.any(axis=1)).mean():.3f}",
    ]


def _range_test(
    config: TrainerConfig, schema: LabelSchema, train: Split, prior: np.ndarray, steps: int
) -> LearningRateRange:
    epochs = -(-steps // train.steps(config.batch_size))
    config = config.model_copy(update={"epochs": max(config.epochs, epochs), "cache": False})
    model = build_model(config, len(schema.genres), prior)
    compile_model(model, config, steps, prior)
    batches = train_dataset(train, None, schema, config, START)
    try:
        return range_test(model, batches.take(steps), steps)
    finally:
        keras.backend.clear_session()
