"""Trains and exports a model: the `run_fn` of TFX's Trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from components.errors import DataError
from components.label_schema import EVAL_SPLIT, TRAIN_SPLIT, LabelSchema
from components.trainer.callbacks import make_callbacks
from components.trainer.config import TrainerConfig
from components.trainer.dataset import eval_dataset, read_split, train_dataset
from components.trainer.export import export_model
from components.trainer.model import build_model, compile_model
from components.trainer.recipe import make_recipe
from components.trainer.thresholds import decision_thresholds

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs


def run_fn(fn_args: FnArgs) -> None:
    """Trains on `train_files`, stops and tunes thresholds on `eval_files`, exports.

    Args:
        fn_args: TFX's arguments. `custom_config` holds `config`, the fields of a TrainerConfig, and
            `code_fingerprint`, part of the recipe that the exported model notes. The model goes
            to `serving_model_dir`, the history and TensorBoard logs to `model_run_dir`.

    Raises:
        ConfigError: the configuration or schema is wrong, or training diverged.
        DataError: a split has no examples, no labels, or covers that do not decode.
    """
    config = TrainerConfig.from_json(json.dumps(fn_args.custom_config["config"]))
    schema = LabelSchema.from_file(fn_args.schema_path)
    train = read_split(fn_args.train_files, schema, TRAIN_SPLIT)
    evaluation = read_split(fn_args.eval_files, schema, EVAL_SPLIT)
    steps_per_epoch = train.steps(config.batch_size)
    run_dir = Path(fn_args.model_run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)

    prior = label_prior(train.labels) if config.output_bias == "prior" else None
    model = build_model(config, len(schema.genres), prior)
    compile_model(model, config, steps_per_epoch)
    eval_batches = eval_dataset(evaluation, schema, config)
    try:
        model.fit(
            train_dataset(train, schema, config),
            validation_data=eval_batches,
            epochs=config.epochs,
            callbacks=make_callbacks(config, steps_per_epoch, run_dir),
            verbose=0,
        )
        probabilities = model.network.predict(eval_batches, verbose=0)
        thresholds = decision_thresholds(config, evaluation.labels, probabilities)
        export_model(
            model.network,
            schema.genres,
            thresholds,
            make_recipe(
                (train, evaluation),
                Path(fn_args.schema_path).read_text(encoding="utf-8"),
                config,
                fn_args.custom_config["code_fingerprint"],
            ),
            fn_args.serving_model_dir,
        )
    except tf.errors.InvalidArgumentError as error:
        if "IteratorGetNext" not in error.message:  # Not raised by the input.
            raise
        reasons = [line for line in error.message.splitlines() if "[[" not in line]
        raise DataError(
            f"Expected every cover of the {TRAIN_SPLIT} and {EVAL_SPLIT} splits to decode. "
            f"Received: {reasons[-1]}. Ingest the data again, so that bad covers are set aside."
        ) from error
    finally:
        keras.backend.clear_session()


def label_prior(labels: np.ndarray) -> np.ndarray:
    """Returns each genre's share of the examples, kept half an example away from 0 and 1.

    Args:
        labels: float32, shape (examples, genres), 0 or 1.

    Returns:
        float64, shape (genres,), strictly between 0 and 1.
    """
    edge = 0.5 / len(labels)
    return np.clip(labels.mean(axis=0, dtype=np.float64), edge, 1.0 - edge)
