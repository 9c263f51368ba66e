"""The search for better options: the `tuner_fn` of TFX's Tuner, and how Trainer uses its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contracts.label_schema import EVAL_SPLIT, TRAIN_SPLIT, LabelSchema
from components.contracts.nodes import TUNER
from components.support import progress
from components.support.errors import ConfigError
from components.trainer.config import (
    Choices,
    Range,
    TrainerConfig,
    TunerConfig,
    direction,
    name_and_kwargs,
)
from components.trainer.dataset import read_split
from components.trainer.features import open_feature_store
from components.trainer.training import TrainingData, train_model

if TYPE_CHECKING:
    import keras_tuner
    from tfx.components.trainer.fn_args_utils import FnArgs
    from tfx.components.tuner.component import TunerFnResult

_TRIALS = "trials"
_AROUND = 5.0
_MOST_DROPOUT = 0.6


def with_hyperparameters(
    config: TrainerConfig, hyperparameters: dict[str, Any] | None
) -> TrainerConfig:
    """Returns the configuration with a tuner's best values in place.

    Args:
        config: what was tuned.
        hyperparameters: the configuration of `keras_tuner.HyperParameters`, as TFX passes it;
            its names are paths such as `optimizer.AdamW.learning_rate`. None changes nothing.

    Raises:
        ConfigError: a path leads nowhere, or a value is not allowed there.
    """
    values = (hyperparameters or {}).get("values", {})
    return with_values(config, values) if values else config


def with_values(config: TrainerConfig, values: dict[str, Any]) -> TrainerConfig:
    """Returns the configuration with values at paths such as `layers.1.Dropout.rate`.

    Raises:
        ConfigError: a path leads nowhere, or a value is not allowed there.
    """
    fields = config.model_dump(mode="json")
    for path, value in values.items():
        *parents, last = path.split(".")
        target: Any = fields
        try:
            for part in parents:
                target = target[int(part)] if isinstance(target, list) else target[part]
            if not isinstance(target, dict) or (parents == [] and last not in target):
                raise KeyError(last)
            target[last] = value
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ConfigError(
                f"Expected tuner.search_space to name options of the trainer, such as "
                f"optimizer.AdamW.learning_rate or layers.1.Dropout.rate. Received: {path!r}, in "
                f"which {error} does not exist."
            ) from error
    return TrainerConfig.from_fields(
        fields, expected="tuner.search_space to hold values that the trainer accepts"
    )


def search_space(config: TrainerConfig, tuner: TunerConfig) -> dict[str, Range | Choices]:
    """Returns the configured search space, or one around the configuration.

    That one holds the optimizer's learning rate and weight decay, an order of magnitude and a
    half about their values, and the rate of every dropout layer.
    """
    if tuner.search_space:
        return dict(tuner.search_space)
    name, kwargs = name_and_kwargs(config.optimizer)
    space: dict[str, Range | Choices] = {}
    for option in ("learning_rate", "weight_decay"):
        if value := kwargs.get(option):
            low, high = value / _AROUND, value * _AROUND
            space[f"optimizer.{name}.{option}"] = Range(min=low, max=high, scale="log")
    for index, layer in enumerate(config.layers):
        if "Dropout" in layer:
            space[f"layers.{index}.Dropout.rate"] = Range(min=0.0, max=_MOST_DROPOUT)
    if not space:
        raise ConfigError(
            "Expected tuner.search_space, or an optimizer with a learning rate to search around. "
            f"Received: neither; optimizer is {name} with {kwargs}."
        )
    return space


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Makes the tuner that TFX's Tuner node runs.

    Args:
        fn_args: TFX's arguments. `custom_config` holds `config`, the fields of a TrainerConfig,
            `tuner`, those of a TunerConfig, and, if features are to be kept, `feature_folder`.

    Raises:
        ConfigError: a configuration or the schema is wrong.
        DataError: a split cannot be used.
    """
    from tfx.components.tuner.component import TunerFnResult

    config = TrainerConfig.from_fields(fn_args.custom_config["config"])
    tuner = TunerConfig.from_fields(fn_args.custom_config["tuner"])
    schema = LabelSchema.from_file(fn_args.schema_path)
    train = read_split(fn_args.train_files, schema, TRAIN_SPLIT)
    evaluation = read_split(fn_args.eval_files, schema, EVAL_SPLIT)
    root = config.feature_folder or fn_args.custom_config.get("feature_folder", "")
    store = open_feature_store(root, config)
    data = TrainingData.load(schema, train, evaluation, config, store)
    return TunerFnResult(
        tuner=make_tuner(data, config, tuner, Path(fn_args.working_dir)), fit_kwargs={}
    )


def make_tuner(
    data: TrainingData, config: TrainerConfig, tuner: TunerConfig, folder: Path
) -> keras_tuner.Tuner:
    """Makes a tuner whose trials are short training runs, judged by their best epoch.

    Args:
        data: both splits.
        config: what each trial starts from.
        tuner: how to search.
        folder: where trials are recorded.
    """
    import keras_tuner

    hyperparameters = keras_tuner.HyperParameters()
    for path, values in search_space(config, tuner).items():
        first = values.min if isinstance(values, Range) else values[0]
        with_values(config, {path: first})  # A wrong path fails before any trial.
        if isinstance(values, Range):
            sampling = "log" if values.scale == "log" else "linear"
            hyperparameters.Float(path, values.min, values.max, sampling=sampling)
        else:
            hyperparameters.Choice(path, list(values))
    short = config.model_dump(mode="json")
    short |= {"epochs": tuner.epochs, "checkpoint_seconds": None, "workers": 1}
    warm_up = min(config.learning_rate_schedule.warmup_epochs, tuner.epochs / 4)
    short["learning_rate_schedule"]["warmup_epochs"] = warm_up
    trial_config = TrainerConfig.model_validate(short)
    oracles = {
        "random": keras_tuner.oracles.RandomSearchOracle,
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    }

    class Search(keras_tuner.Tuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
            number = len(self.oracle.trials)
            progress.report(TUNER, number - 1, tuner.trials, f"trial {number}/{tuner.trials}")
            tried = with_values(trial_config, trial.hyperparameters.values)
            run_dir = folder / _TRIALS / str(trial.trial_id)
            run_dir.mkdir(parents=True, exist_ok=True)
            with progress.listening(lambda *_: None):
                trained = train_model(data, tried, run_dir)
            best = trained.epochs[trained.best_epoch - 1]
            return {tuner.objective: best[tuner.objective]}

    return Search(
        oracle=oracles[tuner.algorithm](
            objective=keras_tuner.Objective(tuner.objective, direction(tuner.objective)),
            max_trials=tuner.trials,
            seed=config.seed,
            hyperparameters=hyperparameters,
            tune_new_entries=False,
        ),
        directory=str(folder),
        project_name=_TRIALS,
        overwrite=True,
    )
