"""Trains and exports a model: the `run_fn` of TFX's Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras

from components.contracts.decision_counts import count_decisions, write_counts
from components.contracts.diagnosis import write_diagnosis
from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT, LabelSchema
from components.contracts.signatures import CONFIG_FILE, WEIGHTS_FILE
from components.trainer.calibration import cross_fitted, fit_calibration, record_calibration
from components.trainer.checkpoint_mirror import open_checkpoints
from components.trainer.checkpoints import remove_checkpoint
from components.trainer.dataset import read_split
from components.trainer.diagnostics.calibration import check_calibration
from components.trainer.diagnostics.covers import examine_covers
from components.trainer.diagnostics.predictions import check_predictions
from components.trainer.distributed import train_together
from components.trainer.embedding import write_training_embeddings
from components.trainer.event_files import write_final_metrics
from components.trainer.export import export_model
from components.trainer.features import open_feature_store
from components.trainer.handover import WorkerTask
from components.trainer.kernel_head import describe, fit_mixture, with_kernel
from components.trainer.model import serving_network
from components.trainer.parameter import TrainingParameter
from components.trainer.recipe import make_recipe
from components.trainer.refit import add_to_history, judge_on_eval, refit
from components.trainer.thresholds import decision_rule
from components.trainer.training import (
    TrainingData,
    covers_that_decode,
    device_strategy,
    train_model,
)
from components.trainer.tuning import with_hyperparameters

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs


@covers_that_decode()
def run_fn(fn_args: FnArgs) -> None:
    """Trains on `train_files`, stops and tunes thresholds on `eval_files`, exports.

    Args:
        fn_args: TFX's arguments. `custom_config` holds the fields of a TrainingParameter;
            `hyperparameters` are a tuner's best. The model goes to `serving_model_dir`; history,
            diagnosis, Keras weights, configuration and event files to `model_run_dir`.

    Raises:
        ConfigError: the configuration or schema is wrong, or training diverged.
        DataError: a split has no examples, no labels, or covers that do not decode.
    """
    given = TrainingParameter.from_custom_config(fn_args.custom_config)
    config = with_hyperparameters(given.config, fn_args.hyperparameters)
    schema = LabelSchema.from_file(fn_args.schema_path)
    train = read_split(fn_args.train_files, schema, TRAIN_SPLIT)
    evaluation = read_split(fn_args.eval_files, schema, EVAL_SPLIT)
    run_dir = Path(fn_args.model_run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / CONFIG_FILE).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    recipe = make_recipe(
        (train, evaluation),
        Path(fn_args.schema_path).read_text(encoding="utf-8"),
        config,
        given.code_fingerprint,
    )
    root = config.checkpoint_folder or given.checkpoint_folder
    checkpoints, mirror = open_checkpoints(root, recipe)
    store = open_feature_store(config.feature_folder or given.feature_folder, config)
    try:
        if config.workers > 1:
            task = WorkerTask(
                config=config.model_dump(mode="json"),
                train_files=list(fn_args.train_files),
                eval_files=list(fn_args.eval_files),
                schema_path=str(fn_args.schema_path),
                run_dir=str(run_dir),
                recipe=recipe,
                code_fingerprint=given.code_fingerprint,
                checkpoint_root=root,
                feature_root=config.feature_folder or given.feature_folder,
            )
            data, trained = train_together(task, schema, train, evaluation, config, store)
        else:
            data = TrainingData.load(schema, train, evaluation, config, store)
            trained = train_model(data, config, run_dir, checkpoints, mirror)
        with device_strategy().scope():
            network = serving_network(trained.model, config)
        if config.refit:
            judges = refit(network, trained, data, config, run_dir)
        else:
            judges = judge_on_eval(network, data, config)
        labels, probabilities = judges.labels, judges.probabilities
        if judges.kernel is not None and judges.scores is not None:
            mixture = fit_mixture(labels, probabilities, judges.scores)
            add_to_history(run_dir, "kernel", describe(judges.kernel, mixture))
            with device_strategy().scope():
                network = with_kernel(network, judges.kernel, mixture)
            probabilities = mixture.apply(probabilities, judges.scores)
        judged = probabilities
        if config.calibration != "none":
            calibration = fit_calibration(config.calibration, labels, probabilities)
            judged = cross_fitted(config.calibration, labels, probabilities)
            record_calibration(
                run_dir, config.calibration, schema.genres, labels, probabilities, judged
            )
            calibration.fold_into(network)
            probabilities = calibration.apply(probabilities)
        rule = decision_rule(config, labels, probabilities)
        findings = [
            *check_predictions(schema.genres, labels, probabilities, rule),
            *check_calibration(schema.genres, labels, judged),
            *examine_covers(trained.model, data, config, run_dir),
        ]
        final = {finding.code for finding in findings}
        earlier = [finding for finding in trained.findings if finding.code not in final]
        write_diagnosis(run_dir, [*earlier, *findings])
        write_final_metrics(
            run_dir,
            trained.best_epoch,
            schema.genres,
            labels,
            probabilities,
            rule.decide(probabilities),
        )
        write_counts(run_dir, count_decisions(labels, rule.decide(probabilities)))
        write_training_embeddings(network, trained.model.network, data, config, run_dir)
        network.save_weights(run_dir / WEIGHTS_FILE)
        export_model(
            network, schema.genres, rule, recipe, fn_args.serving_model_dir, given.background
        )
        if checkpoints:
            remove_checkpoint(checkpoints)
        if mirror:
            mirror.remove()
    finally:
        keras.backend.clear_session()
